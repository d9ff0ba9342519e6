//===- RunToolTest.cpp - Tests of sysmol-run ------------------------------===//

#include "TestBundle.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <iterator>
#include <sys/wait.h>

using namespace sysmol::runtime;
using namespace sysmol::runtime::test;

namespace {

class RunTool : public testing::Test {
protected:
  void SetUp() override {
    BundleWriter Writer = modelWriter(compiledModel());
    Writer.addCode({"of-tomorrow", {"avx4096f"}}, compiledModel());
    ASSERT_TRUE(Writer.writeFile(Dir.file("m.smol")));
  }

  /// Runs the tool in the directory; stderr follows stdout in Output.
  int run(const std::string &Arguments) {
    std::string Command = "cd " + Dir.file(".") +
                          " && exec " SYSMOL_TEST_RUN " " + Arguments + " 2>&1";
    FILE *Pipe = popen(Command.c_str(), "r");
    Output.clear();
    for (int C; (C = fgetc(Pipe)) != EOF;)
      Output += static_cast<char>(C);
    int Code = pclose(Pipe);
    EXPECT_TRUE(WIFEXITED(Code)) << Arguments << '\n' << Output;
    return WEXITSTATUS(Code);
  }

  void expect(const std::string &Arguments, int Code,
              std::initializer_list<const char *> Parts) {
    EXPECT_EQ(run(Arguments), Code) << Arguments << '\n' << Output;
    for (const char *Part : Parts)
      EXPECT_NE(Output.find(Part), std::string::npos)
          << Arguments << "\nexpected: " << Part << "\ngot: " << Output;
    if (Code != 0) {
      EXPECT_EQ(Output.find("sysmol-run: error: "), 0u) << Output;
      EXPECT_EQ(Output.find('\n'), Output.size() - 1)
          << "not one line: " << Output;
    }
  }

  void write(const std::string &Name, const std::string &Content) {
    std::ofstream(Dir.file(Name), std::ios::binary) << Content;
  }

  std::string read(const std::string &Name) {
    std::ifstream File(Dir.file(Name), std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(File), {});
  }

  static std::string npy(const std::string &Header, const std::string &Data,
                         int Version = 1) {
    std::string File("\x93NUMPY", 6);
    File += static_cast<char>(Version);
    File += '\0';
    File += static_cast<char>(Header.size());
    File += '\0';
    if (Version > 1)
      File += std::string(2, '\0');
    return File + Header + Data;
  }

  TempDir Dir;
  std::string Output;
};

TEST_F(RunTool, RunsGoldenInput) {
  expect("m.smol", 0, {"tiny (generic-test): 1 image", "sums  4 11 22 45"});
}

TEST_F(RunTool, Verifies) {
  expect("m.smol --verify", 0, {"verified: 1 golden pair", "generic-test"});
}

TEST_F(RunTool, Inspects) {
  expect("m.smol --inspect", 0,
         {"tiny, written by test 1", "image", "[1, 4]", "code/of-tomorrow",
          "avx4096f", "only", "4-bit", "plain", "ratio 4.00x"});
}

TEST_F(RunTool, InspectRunsNothing) {
  ASSERT_TRUE(modelWriter(compileC("#include <stdlib.h>\n"
                                   "__attribute__((constructor)) static void "
                                   "f(void) { exit(9); }"))
                  .writeFile(Dir.file("trap.smol")));
  expect("trap.smol --inspect", 0, {"tiny"});
}

TEST_F(RunTool, Times) {
  expect("m.smol --time --runs 10", 0, {"min ", "median ", "10 runs"});
  expect("m.smol --time --runs 3 -j 2", 0,
         {"(3 runs, 1 thread, ", "(3 runs, 2 threads, ",
          "speedup: ", "throughput: ", "2 threads"});
  expect("m.smol --verify --threads 3", 0, {"every byte equal"});
}

TEST_F(RunTool, RunsBatches) {
  write("in.raw", "abcdefgh");
  expect("m.smol --input in.raw --output out.raw --threads 2", 0, {"2 images"});
  std::string Raw = read("out.raw");
  ASSERT_EQ(Raw.size(), 32u);
  EXPECT_EQ(static_cast<unsigned char>(Raw[16]), ('e' * 3 + 1) % 256);

  write("in.npy",
        npy("{'descr': '|u1', 'fortran_order': False, 'shape': (2, 4), }\n",
            "abcdefgh"));
  expect("-o out.npy -i in.npy m.smol", 0, {"2 images"});
  std::string Npy = read("out.npy");
  ASSERT_EQ(Npy.size(), 128u + 32u);
  EXPECT_EQ(Npy.substr(128), Raw);
  EXPECT_NE(Npy.find("'descr': '<i4'"), Npy.npos);
  EXPECT_NE(Npy.find("'shape': (2, 4, )"), Npy.npos);

  write("v2.npy", npy("{'shape':(2,1,4),'fortran_order':False,'descr':'|u1'}",
                      "abcdefgh", 2));
  expect("m.smol -i v2.npy", 0, {"2 images"});
}

TEST_F(RunTool, RefusesWrongArrays) {
  auto Header = [](const char *Type, const char *Order, const char *Shape) {
    return std::string("{'descr': '") + Type + "', 'fortran_order': " + Order +
           ", 'shape': " + Shape + "}";
  };
  struct {
    std::string File;
    const char *Part;
  } Cases[] = {
      {"", "not a readable .npy"},
      {"\x93NUMPY", "not a readable .npy"},
      {npy("", ""), "not a readable .npy"},
      {npy("{}", "abcd"), "not a readable .npy"},
      {npy("{'descr': '|u1'", "abcd"), "not a readable .npy"},
      {npy(Header("|u1", "False", "(1, 4"), "abcd"), "not a readable .npy"},
      {npy(Header("|u1", "False", "(1, -4)"), "abcd"), "not a readable .npy"},
      {npy(Header("|u1", "False", "(1, 99999999999999999999)"), "abcd"),
       "not a readable .npy"},
      {npy(Header("|u1", "False", "(1, 4)"), "abcd", 9), "not a readable .npy"},
      {npy(Header("<f4", "False", "(1, 4)"), "abcdabcdabcdabcd"), "'<f4'"},
      {npy(Header("|u1", "True", "(1, 4)"), "abcd"), "Fortran order"},
      {npy(Header("|u1", "False", "(4, 1)"), "abcd"), "shape [4, 1]"},
      {npy(Header("|u1", "False", "()"), "a"), "shape []"},
      {npy(Header("|u1", "False", "(0, 4)"), ""), "shape [0, 4]"},
      {npy(Header("|u1", "False", "(1, 4)"), "abc"), "3 bytes of data"},
      {npy(Header("|u1", "False", "(4611686018427387905, 4)"), "abcd"),
       "4 bytes of data"},
  };
  for (auto &Case : Cases) {
    write("in.npy", Case.File);
    expect("m.smol --input in.npy --output out.npy", 1, {"in.npy", Case.Part});
    EXPECT_EQ(read("out.npy"), "");
  }
  write("in.raw", "abcde");
  expect("m.smol --input in.raw", 1, {"has 5 bytes", "u8[1, 4] (4 bytes)"});
  write("in.raw", "");
  expect("m.smol --input in.raw", 1, {"has 0 bytes"});
  expect("m.smol --input missing.raw", 1, {"missing.raw"});
}

TEST_F(RunTool, RefusesWrongUse) {
  expect("", 2, {"MODEL is required"});
  expect("m.smol --bogus", 2, {"--bogus", "--help"});
  expect("m.smol --threads 0", 2, {"--threads"});
  expect("m.smol --threads 1025", 2, {"--threads"});
  expect("m.smol --threads x", 2, {"--threads"});
  expect("m.smol --runs 0", 2, {"--runs"});
  expect("m.smol --inspect --target a", 2, {"--inspect"});
  expect("m.smol --inspect --verify", 2, {"--verify excludes --inspect"});
  expect("m.smol --target other", 2, {"it has generic-test, of-tomorrow"});
  expect("m.smol --target of-tomorrow", 1, {"needs avx4096f"});
  expect("m.smol -i a -i b", 2, {"2 --input files"});
  expect("m.smol -o a -o b", 2, {"2 --output files"});
}

TEST_F(RunTool, RefusesWrongBundles) {
  expect("missing.smol", 1, {"missing.smol"});
  std::string Whole = read("m.smol");
  for (size_t Length : {size_t(0), size_t(7), size_t(100), Whole.size() - 1}) {
    write("cut.smol", Whole.substr(0, Length));
    for (const char *Mode : {"", " --inspect", " --verify", " --time"})
      expect(std::string("cut.smol") + Mode, 1, {"'cut.smol': "});
  }
}

TEST_F(RunTool, ReportsFailingCode) {
  write("in.raw", "\xff\x01\x01\x01");
  expect("m.smol -i in.raw -o out.raw", 70, {"image 0: ", "code 7"});
  EXPECT_EQ(read("out.raw"), "");
}

TEST_F(RunTool, ReportsUnwritableOutput) {
  expect("m.smol --output no/such/out.npy", 1, {"nothing was written"});
}

TEST_F(RunTool, Helps) {
  expect("--help", 0, {"MODEL", "--verify", "Exit codes: 0 done", "Examples:"});
  expect("--version", 0, {"sysmol-run 0.1.0"});
}

} // namespace
