//===- Arrays.cpp - Inputs and outputs of sysmol-run ----------------------===//

#include "Arrays.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <optional>

namespace sysmol::run {

using namespace sysmol::runtime;

static constexpr std::string_view NpyMagic("\x93NUMPY", 6);

static std::string_view npyType(DType Type) {
  switch (Type) {
  case DType::F32:
    return "<f4";
  case DType::U8:
    return "|u1";
  case DType::I32:
    return "<i4";
  case DType::I16:
    return "<i2";
  case DType::I8:
    return "|i1";
  }
  return "";
}

std::string shapeText(const std::vector<uint64_t> &Shape) {
  std::string Text;
  for (uint64_t Extent : Shape)
    Text += (Text.empty() ? "" : ", ") + std::to_string(Extent);
  return "[" + Text + "]";
}

namespace {
/// What the header of an `.npy` file says.
struct NpyHeader {
  std::string Type;
  bool FortranOrder = false;
  std::vector<uint64_t> Shape;
  size_t DataOffset = 0;
};

/// Reads the header, a Python dictionary literal with three known keys.
class NpyParser {
public:
  explicit NpyParser(std::string_view File) : File(File) {}

  std::optional<NpyHeader> parse() {
    if (!File.starts_with(NpyMagic) || File.size() < 12)
      return std::nullopt;
    unsigned Version = byte(6);
    size_t Start = Version == 1 ? 10 : 12;
    size_t Length = byte(8) | byte(9) << 8;
    if (Version > 1)
      Length |= size_t(byte(10)) << 16 | size_t(byte(11)) << 24;
    if (Version < 1 || Version > 3 || Length > File.size() - Start)
      return std::nullopt;
    Rest = File.substr(Start, Length);
    Header.DataOffset = Start + Length;

    if (!eat('{'))
      return std::nullopt;
    unsigned Seen = 0;
    while (!eat('}')) {
      auto Key = string();
      if (!Key || !eat(':') || !value(*Key, Seen))
        return std::nullopt;
      if (!eat(',') && !peek('}'))
        return std::nullopt;
    }
    skipSpace();
    if (!Rest.empty() || Seen != 7)
      return std::nullopt;
    return Header;
  }

private:
  unsigned byte(size_t At) const {
    return static_cast<unsigned char>(File[At]);
  }

  void skipSpace() {
    size_t At = Rest.find_first_not_of(" \n");
    Rest.remove_prefix(At == Rest.npos ? Rest.size() : At);
  }

  bool peek(char C) {
    skipSpace();
    return Rest.starts_with(C);
  }

  bool eat(char C) {
    if (!peek(C))
      return false;
    Rest.remove_prefix(1);
    return true;
  }

  bool eatWord(std::string_view Word) {
    skipSpace();
    if (!Rest.starts_with(Word))
      return false;
    Rest.remove_prefix(Word.size());
    return true;
  }

  std::optional<std::string> string() {
    if (!eat('\''))
      return std::nullopt;
    size_t End = Rest.find('\'');
    if (End == Rest.npos)
      return std::nullopt;
    std::string Text(Rest.substr(0, End));
    Rest.remove_prefix(End + 1);
    return Text;
  }

  bool value(const std::string &Key, unsigned &Seen) {
    if (Key == "descr") {
      auto Text = string();
      Header.Type = Text.value_or("");
      Seen |= 1;
      return Text.has_value();
    }
    if (Key == "fortran_order") {
      Header.FortranOrder = eatWord("True");
      Seen |= 2;
      return Header.FortranOrder || eatWord("False");
    }
    if (Key != "shape" || !eat('('))
      return false;
    Seen |= 4;
    Header.Shape.clear();
    while (!eat(')')) {
      skipSpace();
      uint64_t Extent;
      auto [End, Code] =
          std::from_chars(Rest.data(), Rest.data() + Rest.size(), Extent);
      if (Code != std::errc())
        return false;
      Rest.remove_prefix(End - Rest.data());
      Header.Shape.push_back(Extent);
      if (!eat(',') && !peek(')'))
        return false;
    }
    return true;
  }

  std::string_view File;
  std::string_view Rest;
  NpyHeader Header;
};
} // namespace

/// The batch that `Given` holds of `Shape`, or nothing when it does not fit.
static std::optional<uint64_t> batchOf(std::vector<uint64_t> Given,
                                       const std::vector<uint64_t> &Shape) {
  if (Given == Shape)
    return 1;
  if (Given.empty())
    return std::nullopt;
  uint64_t Batch = Given.front();
  Given.erase(Given.begin());
  bool InFront = Given == Shape;
  bool InPlace =
      !Shape.empty() && Shape.front() == 1 &&
      std::equal(Given.begin(), Given.end(), Shape.begin() + 1, Shape.end());
  if (!InFront && !InPlace)
    return std::nullopt;
  return Batch;
}

Result<Array> readArray(const std::string &Path, const TensorInfo &T) {
  auto Refuse = [&](const std::string &What) {
    return refused(inQuotes(Path) + " " + What + "; the input " +
                   inQuotes(T.Name) + " is " + std::string(dtypeName(T.Type)) +
                   shapeText(T.Shape) + " (" + std::to_string(T.bytes()) +
                   " bytes); give one or more of these");
  };
  auto File = readFile(Path);
  if (!File)
    return File.error();
  std::span<const uint8_t> Data = File->bytes();
  Array A;
  if (Path.ends_with(".npy")) {
    NpyParser Parser(
        {reinterpret_cast<const char *>(Data.data()), Data.size()});
    auto Header = Parser.parse();
    if (!Header)
      return Refuse("is not a readable .npy file");
    Data = Data.subspan(Header->DataOffset);
    if (Header->FortranOrder)
      return Refuse("is in Fortran order, not in C order");
    if (Header->Type != npyType(T.Type))
      return Refuse("has elements " + inQuotes(Header->Type) + ", not " +
                    inQuotes(npyType(T.Type)));
    auto Batch = batchOf(Header->Shape, T.Shape);
    if (!Batch || *Batch == 0)
      return Refuse("has the shape " + shapeText(Header->Shape));
    if (Data.size() % T.bytes() || Data.size() / T.bytes() != *Batch)
      return Refuse("has " + std::to_string(Data.size()) +
                    " bytes of data, which is not what its shape " +
                    shapeText(Header->Shape) + " needs");
  } else if (Data.empty() || Data.size() % T.bytes()) {
    return Refuse("has " + std::to_string(Data.size()) + " bytes");
  }
  A.Count = Data.size() / T.bytes();
  auto Storage = PageBuffer::create(Data.size(), "the input");
  if (!Storage)
    return Storage.error();
  std::ranges::copy(Data, Storage->data());
  A.Storage = std::move(*Storage);
  return A;
}

std::vector<uint8_t> formatArray(const std::string &Path, const TensorInfo &T,
                                 uint64_t Count,
                                 std::span<const uint8_t> Bytes) {
  if (!Path.ends_with(".npy"))
    return {Bytes.begin(), Bytes.end()};
  std::vector<uint64_t> Shape = T.Shape;
  if (Count != 1 && !Shape.empty() && Shape.front() == 1)
    Shape.front() = Count;
  else if (Count != 1)
    Shape.insert(Shape.begin(), Count);
  std::string Tuple;
  for (uint64_t Extent : Shape)
    Tuple += std::to_string(Extent) + ", ";
  std::string Header = "{'descr': '" + std::string(npyType(T.Type)) +
                       "', 'fortran_order': False, 'shape': (" + Tuple + "), }";
  // Data starts at a multiple of 64, after a newline, as NumPy writes it.
  constexpr size_t Fixed = 10;
  size_t Total = (Fixed + Header.size() + 1 + 63) / 64 * 64;
  Header.resize(Total - Fixed - 1, ' ');
  Header += '\n';
  std::vector<uint8_t> Out(NpyMagic.begin(), NpyMagic.end());
  Out.push_back(1);
  Out.push_back(0);
  Out.push_back(Header.size() & 255);
  Out.push_back(Header.size() >> 8);
  Out.insert(Out.end(), Header.begin(), Header.end());
  Out.insert(Out.end(), Bytes.begin(), Bytes.end());
  return Out;
}

} // namespace sysmol::run
