//===- MemoryTest.cpp - Page-aligned memory -------------------------------===//

#include "sysmol/Runtime/Memory.h"

#include "gtest/gtest.h"

#include <algorithm>
#include <cstdint>
#include <vector>

using namespace sysmol::runtime;

namespace {

constexpr uint64_t HugePage = uint64_t(2) << 20;

/// Every byte is there, is 0, and can be written.
void use(PageBuffer &Buffer, uint64_t Bytes) {
  ASSERT_EQ(Buffer.bytes().size(), Bytes);
  EXPECT_TRUE(std::ranges::all_of(Buffer.bytes(),
                                  [](uint8_t Byte) { return Byte == 0; }));
  std::ranges::fill(Buffer.bytes(), uint8_t(1));
}

TEST(PageBuffer, LargeOnesBeginOnAHugePage) {
  for (uint64_t Bytes : {HugePage / 2, 2 * HugePage + 1, 5 * HugePage - 7}) {
    auto Buffer = PageBuffer::create(Bytes, "test");
    ASSERT_TRUE(Buffer);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(Buffer->bytes().data()) % HugePage,
              0u);
    use(*Buffer, Bytes);
    EXPECT_TRUE(Buffer->makeReadOnly());
  }
}

TEST(PageBuffer, SmallOnes) {
  for (uint64_t Bytes : {uint64_t(0), uint64_t(1), HugePage / 2 - 1}) {
    auto Buffer = PageBuffer::create(Bytes, "test");
    ASSERT_TRUE(Buffer);
    use(*Buffer, Bytes);
  }
}

// What is given back around one buffer is not part of another.
TEST(PageBuffer, ManyAtOnce) {
  std::vector<PageBuffer> Buffers;
  for (unsigned I = 0; I < 8; ++I) {
    auto Buffer = PageBuffer::create(2 * HugePage + I * 4096, "test");
    ASSERT_TRUE(Buffer);
    use(*Buffer, 2 * HugePage + I * 4096);
    std::ranges::fill(Buffer->bytes(), uint8_t(I));
    Buffers.push_back(std::move(*Buffer));
  }
  Buffers.erase(Buffers.begin() + 3);
  for (const PageBuffer &Buffer : Buffers)
    EXPECT_TRUE(std::ranges::all_of(Buffer.bytes(), [&](uint8_t Byte) {
      return Byte == Buffer.bytes().front();
    }));
}

TEST(PageBuffer, MoreThanThereIs) {
  auto Buffer = PageBuffer::create(uint64_t(1) << 62, "test");
  ASSERT_FALSE(Buffer);
  EXPECT_EQ(Buffer.error().Kind, ErrorKind::Limit);
}

} // namespace
