//===- InlinePtx.cpp - Reads the PTX of inline assembly -------------------===//

#include "InlinePtx.h"

#include "sysmol/Emulator/Emulator.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/Twine.h"

using namespace sysmol::emulator;

namespace {
class Parser {
public:
  explicit Parser(llvm::StringRef text) : whole(text), rest(text) {}

  llvm::Expected<llvm::SmallVector<PtxInstruction, 1>> run();

private:
  llvm::Error refuse(const llvm::Twine &why) const;
  void skipSpace();
  bool consume(char c);
  llvm::Error instruction(PtxInstruction &into);
  llvm::Error operandGroup(llvm::SmallVector<PtxOperand, 4> &into);
  llvm::Error operand(PtxOperand &into);
  llvm::Error address(PtxOperand &into);
  llvm::Error number(int64_t &into);

  llvm::StringRef whole, rest;
};
} // namespace

llvm::Error Parser::refuse(const llvm::Twine &why) const {
  std::string shown = llvm::join(llvm::split(whole, '\n'), " ");
  return llvm::make_error<EmulatorError>(
      FaultKind::Refused, ("inline PTX '" + shown + "': " + why).str());
}

void Parser::skipSpace() {
  while (true) {
    rest = rest.ltrim();
    if (rest.consume_front("//"))
      rest = rest.drop_until([](char c) { return c == '\n'; });
    else if (rest.consume_front("/*"))
      rest = rest.substr(std::min(rest.find("*/"), rest.size() - 2) + 2);
    else
      return;
  }
}

bool Parser::consume(char c) {
  skipSpace();
  return rest.consume_front(llvm::StringRef(&c, 1));
}

llvm::Error Parser::number(int64_t &into) {
  skipSpace();
  bool negative = consume('-');
  uint64_t magnitude = 0;
  llvm::StringRef digits =
      rest.take_while([](char c) { return llvm::isAlnum(c); });
  llvm::StringRef bare = digits;
  bare.consume_back("U");
  if (bare.empty() || bare.getAsInteger(0, magnitude))
    return refuse("'" + rest.take_front(12) +
                  "' is no operand that the "
                  "emulator knows; allowed are $N, numbers, [$N + number] and "
                  "{...} of these");
  rest = rest.drop_front(digits.size());
  into = negative ? -static_cast<int64_t>(magnitude)
                  : static_cast<int64_t>(magnitude);
  return llvm::Error::success();
}

llvm::Error Parser::operand(PtxOperand &into) {
  skipSpace();
  if (!rest.consume_front("$"))
    return number(into.value);
  bool braces = rest.consume_front("{");
  into.isPlaceholder = true;
  if (rest.consumeInteger(10, into.placeholder) ||
      (braces && !rest.consume_front("}")))
    return refuse("a placeholder without a number");
  return llvm::Error::success();
}

llvm::Error Parser::address(PtxOperand &into) {
  if (llvm::Error error = operand(into))
    return error;
  if (consume('+')) {
    int64_t offset = 0;
    if (llvm::Error error = number(offset))
      return error;
    into.value += offset;
  }
  return consume(']') ? llvm::Error::success() : refuse("a '[' without ']'");
}

llvm::Error Parser::operandGroup(llvm::SmallVector<PtxOperand, 4> &into) {
  if (consume('[')) {
    return address(into.emplace_back());
  }
  if (!consume('{'))
    return operand(into.emplace_back());
  do {
    if (llvm::Error error = operand(into.emplace_back()))
      return error;
  } while (consume(','));
  return consume('}') ? llvm::Error::success() : refuse("a '{' without '}'");
}

llvm::Error Parser::instruction(PtxInstruction &into) {
  if (rest.starts_with("@"))
    return refuse("the emulator knows no predicated instructions");
  if (rest.starts_with("."))
    return refuse("the emulator knows no declarations");
  llvm::StringRef mnemonic = rest.take_while([](char c) {
    return llvm::isAlnum(c) || c == '.' || c == '_' || c == ':';
  });
  if (mnemonic.empty() || mnemonic.ends_with(":"))
    return refuse("'" + rest.take_front(12) + "' is no instruction");
  into.mnemonic = mnemonic.str();
  rest = rest.drop_front(mnemonic.size());
  if (consume(';') || rest.empty())
    return llvm::Error::success();
  do {
    if (llvm::Error error = operandGroup(into.operands.emplace_back()))
      return error;
  } while (consume(','));
  skipSpace();
  if (!consume(';') && !rest.empty() && !rest.starts_with("}"))
    return refuse("';' is missing before '" + rest.take_front(12) + "'");
  return llvm::Error::success();
}

llvm::Expected<llvm::SmallVector<PtxInstruction, 1>> Parser::run() {
  llvm::SmallVector<PtxInstruction, 1> instructions;
  while (true) {
    // Braces between instructions are scopes, without registers they are
    // nothing.
    while (consume('{') || consume('}') || consume(';'))
      ;
    if (rest.empty())
      return instructions;
    if (llvm::Error error = instruction(instructions.emplace_back()))
      return std::move(error);
  }
}

llvm::Expected<llvm::SmallVector<PtxInstruction, 1>>
sysmol::emulator::parseInlinePtx(llvm::StringRef text) {
  return Parser(text).run();
}
