// How many mutexes each thread holds, so that a thread can be taken out of C++ code without leaving
// one locked for ever. The functions stand before those of the C library for all code that is
// linked statically, V8's among it.
#include <dlfcn.h>
#include <pthread.h>

#include "guard.h"

namespace nano {

namespace {
thread_local int held_locks = 0;
}

int HeldLocks() { return held_locks; }

namespace {

using Function = int (*)(pthread_mutex_t*);

// The C library's own. No static object with a constructor: that would take a lock.
template <Function* next>
Function Next(const char* name) {
  Function found = __atomic_load_n(next, __ATOMIC_RELAXED);
  if (found == nullptr) {
    found = reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
    __atomic_store_n(next, found, __ATOMIC_RELAXED);
  }
  return found;
}

Function lock, try_lock, unlock;

}  // namespace
}  // namespace nano

using namespace nano;

extern "C" int pthread_mutex_lock(pthread_mutex_t* mutex) noexcept {
  held_locks++;
  return Next<&lock>("pthread_mutex_lock")(mutex);
}

extern "C" int pthread_mutex_trylock(pthread_mutex_t* mutex) noexcept {
  int failed = Next<&try_lock>("pthread_mutex_trylock")(mutex);
  if (failed == 0) held_locks++;
  return failed;
}

extern "C" int pthread_mutex_unlock(pthread_mutex_t* mutex) noexcept {
  int failed = Next<&unlock>("pthread_mutex_unlock")(mutex);
  held_locks--;
  return failed;
}
