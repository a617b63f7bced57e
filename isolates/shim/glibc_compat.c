// The prebuilt V8 library was linked against glibc 2.38, whose headers redirect these functions to
// C23 variants that older C libraries (Debian 12: 2.36) lack. Weak, so that a newer libc's win.
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define WEAK __attribute__((weak))

WEAK long __isoc23_strtol(const char* text, char** end, int base) {
  return strtol(text, end, base);
}
WEAK unsigned long __isoc23_strtoul(const char* text, char** end, int base) {
  return strtoul(text, end, base);
}
WEAK long long __isoc23_strtoll(const char* text, char** end, int base) {
  return strtoll(text, end, base);
}
WEAK unsigned long long __isoc23_strtoull(const char* text, char** end, int base) {
  return strtoull(text, end, base);
}
WEAK int __isoc23_sscanf(const char* text, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  int result = vsscanf(text, format, arguments);
  va_end(arguments);
  return result;
}
WEAK int __isoc23_fscanf(FILE* file, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  int result = vfscanf(file, format, arguments);
  va_end(arguments);
  return result;
}
