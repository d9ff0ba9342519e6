/* What the tests of the C API say where a promise is broken. */

#ifndef SYSMOL_TEST_CAPI_EXPECT_H
#define SYSMOL_TEST_CAPI_EXPECT_H

#include <stdio.h>

#define EXPECT(condition)                                                      \
  do {                                                                         \
    if (!(condition)) {                                                        \
      fprintf(stderr, "%s:%d: not so: %s (%s)\n", __FILE__, __LINE__,          \
              #condition, error);                                              \
      return 1;                                                                \
    }                                                                          \
  } while (0)
#define ERROR error, sizeof(error)

static char error[1024] = "?";

#endif
