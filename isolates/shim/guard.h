// What keeps an app within its limits, and the process alive when V8 gives up: see limits.cc for
// memory, watchdog.cc for CPU time, and docs/RATIONALE.md for what is guaranteed.
#ifndef NANO_GUARD_H_
#define NANO_GUARD_H_

#include <setjmp.h>
#include <v8.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

struct nano_isolate;

namespace nano {

// ---- Surviving ----

// A Rescue is the point that a thread goes back to when what runs in an isolate must be abandoned.
// What lies between is skipped: no destructor runs there. The isolate is good for nothing but
// nano_isolate_dispose afterwards. It is entered for as long as the Rescue lives.
struct Rescue {
  explicit Rescue(nano_isolate* self);
  ~Rescue();
  void Abandoned();  // the thread came back by Abandon

  jmp_buf point;
  nano_isolate* const self;
  v8::Isolate* const isolate;
  bool abandoned = false;
  Rescue* const outer;
};

// IdleState is what V8 keeps of the stack of the thread that an isolate runs on, at a time when it
// runs nothing. An isolate that was abandoned gets it back: its frames are gone, and disposal may
// look for references in them. The place is part of V8's headers, since inlined functions use it.
struct IdleState {
  static constexpr int kBegin = v8::internal::Internals::kIsolateFastCCallCallerPcOffset;
  static constexpr int kEnd = v8::internal::Internals::kIsolateThreadLocalTopOffset +
                              v8::internal::Internals::kThreadLocalTopSize;
  uint8_t bytes[kEnd - kBegin];

  void Save(v8::Isolate* isolate);
  void Restore(v8::Isolate* isolate) const;
};

// Survive enters the isolate and calls body. False: it was abandoned, and the isolate is marked
// dead. The handle scope stands outside, so that the handles of abandoned scopes are freed.
template <typename Body>
bool Survive(nano_isolate* self, Body&& body) {
  Rescue rescue(self);
  v8::HandleScope handles(rescue.isolate);
  if (_setjmp(rescue.point) == 0) {
    body();
    return true;
  }
  rescue.Abandoned();
  return false;
}

// Kill marks the isolate as dead and ends its JavaScript at the next stack check. From any thread
// while the isolate lives; the first cause stays.
void Kill(nano_isolate* self, uint32_t death);
bool IsDead(const nano_isolate* self);

// Revive takes back that the isolate has reached its limit of CPU time, also where no JavaScript
// has run since that could have been ended. On the isolate's thread, outside of any WatchScope.
void Revive(nano_isolate* self);

// Leak notes that an isolate is too broken to be disposed of.
void Leak(nano_isolate* self);

// Abandon goes back to the innermost Rescue.
[[noreturn]] void Abandon();

// ChargeWork charges the request that runs with CPU time that another thread has taken for it.
void ChargeWork(nano_isolate* self, int64_t nanoseconds);

// RescuedHere is the innermost Rescue of this thread, or null.
Rescue* RescuedHere();

// AbandonIfForced abandons what runs if the watchdog has waited for a stack check in vain. Called
// where V8 calls us from C++ code that holds no lock.
void AbandonIfForced(nano_isolate* self);

// OutOfMemory ends the isolate that this thread runs, or the process if it runs none.
[[noreturn]] void OutOfMemory(const char* where);

// What V8 calls before it would abort the process.
void OnOutOfMemory(const char* location, const v8::OOMDetails& details);
void OnFatal(const char* location, const char* message);
// InstallFatalHandler takes over failed checks of V8, which know no isolate.
void InstallFatalHandler();

// OnGeneratedSource decides about eval and new Function.
v8::ModifyCodeGenerationFromStringsResult OnGeneratedSource(v8::Local<v8::Context> context,
                                                            v8::Local<v8::Value> source,
                                                            bool is_code_like);

// WatchLimits readies a new isolate for all this.
void WatchLimits(nano_isolate* self);

// ---- Memory ----

// An Allocator gives the memory of an isolate's ArrayBuffers and counts it. It may outlive the
// isolate, as long as a backing store does.
class Allocator final : public v8::ArrayBuffer::Allocator {
 public:
  Allocator(nano_isolate* self, size_t limit);
  void* Allocate(size_t length) override { return Take(length, true); }
  void* AllocateUninitialized(size_t length) override { return Take(length, false); }
  void Free(void* data, size_t length) override;
  v8::PageAllocator* GetPageAllocator() override;

  void Detach() { self_ = nullptr; }  // the isolate goes away
  size_t used() const { return used_.load(std::memory_order_relaxed); }
  // TakeHere never abandons what runs.
  void* TakeHere(size_t length, bool zeroed);

 private:
  void* Take(size_t length, bool zeroed);
  bool Charge(size_t length);
  void Refuse(size_t length);
  void Refund(size_t length) { used_.fetch_sub(length, std::memory_order_relaxed); }

  nano_isolate* self_;
  const size_t limit_;  // 0: none
  std::atomic<size_t> used_{0};
  size_t refused_ = 0;  // the length asked for last, if it was refused
  uint32_t refused_at_ = 0;
};

// DropFreeBlocks gives up the memory of ArrayBuffers that this thread keeps for the next ones.
void DropFreeBlocks();

// Scratch is memory that an op uses while it runs, up to the limit of the isolate, and that is
// freed with the isolate if the op is abandoned.
class Scratch {
 public:
  ~Scratch();
  // Grow gives memory with the bytes of old, which may be null. Null: that would be too much.
  void* Grow(void* old, size_t length, size_t limit);
  void Free(void* memory);

 private:
  struct Piece {
    void* memory;
    size_t length;
  };
  std::vector<Piece> pieces_;  // very few
};

// Frames is the large memory of V8's own functions that run in a turn; see frames.cc.
class Frames {
 public:
  ~Frames();
  void Note(void* memory);
  void Forget(void* memory);
  void NoteSegment(void* segment);
  static void ForgetSegment(void* segment);  // from any thread

 private:
  std::vector<void*> held_;  // empty but for moments
  size_t segments_ = 0;
};

// ExternalMemory is what an isolate holds outside of its heap.
size_t ExternalMemory(nano_isolate* self);

// CheckMemory ends the isolate if heap and off-heap memory together are beyond its limit, even
// after a collection.
void CheckMemory(nano_isolate* self);

// ---- CPU time ----

// A Meter counts an isolate's CPU time and knows what it may use. Times are in nanoseconds.
struct Meter {
  int64_t limit = 0;                // of a request, 0: none
  int64_t scope_limit = 0;          // of what a WatchScope covers
  int64_t began = 0;                // CLOCK_MONOTONIC when the scope began
  std::atomic<int64_t> pending{0};  // CPU time that no request was charged for so far
  int64_t charged = 0;              // by the ticks of this scope, for itself
  int64_t uncharged = 0;            // CPU time of earlier scopes that no request has paid for
  std::atomic<bool> asked{false};   // V8 was asked to call OnTick
  std::atomic<uint32_t> force{0};   // what the watchdog may do, see watchdog.cc
  std::atomic<bool> collecting{false};
  std::atomic<bool> in_go{false};  // Go runs for the isolate: its frames must not be skipped
  uint32_t collections = 0;        // full ones
  int64_t background = 0;          // CPU time that belongs to no request, a bucket that drains
  int64_t background_at = 0;
};

// Pace is what records have cost an isolate lately, on the average, so that long turns are
// foreseen.
class Pace {
 public:
  // Step is how many of a turn's records to take at once: all of them, or if they are foreseen to
  // take longer than share, a part that takes a quarter of that.
  uint32_t Step(uint32_t records, int64_t share) const {
    if (record_ns_ * records <= share) return records;
    return static_cast<uint32_t>(std::max(share / kParts / record_ns_, int64_t{1}));
  }
  void Learn(uint32_t records, int64_t used_ns) {
    if (records != 0) record_ns_ += (std::min(used_ns / records, kMost) - record_ns_) / kSlowness;
  }

 private:
  static constexpr int64_t kParts = 4, kSlowness = 8;
  static constexpr int64_t kMost = 1'000'000;  // a single long one is not the rule

  int64_t record_ns_ = 0;
};

class Watch;

// A WatchScope puts what it covers under the watchdog, if its thread is watched, and measures it:
// in time of the thread, but for less than a millisecond in which the core may have been another's.
class WatchScope {
 public:
  WatchScope(nano_isolate* self, int64_t limit_ns);
  ~WatchScope();
  WatchScope(const WatchScope&) = delete;

 private:
  nano_isolate* const self_;
  Watch* const watch_;
};

// HoldForceInSampler keeps what is forced out of V8's sampler: once a profile has been started, the
// signal waits until the handler of SIGPROF has returned, which holds the locks of the profile.
void HoldForceInSampler();

// SuspendWatch and ResumeWatch leave out a part of what a WatchScope covers.
void SuspendWatch();
void ResumeWatch(nano_isolate* self);

int64_t MonotonicNanoseconds();

// Clock is the processor's own, whose reading costs a turn less than a fifth of a system clock's.
class Clock {
 public:
  static void Calibrate();  // at two times, some milliseconds apart
  static uint64_t Now() {
#if defined(__x86_64__)
    if (steady) return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
    uint64_t now;
    asm volatile("mrs %0, cntvct_el0" : "=r"(now));
    if (steady) return now;
#endif
    return static_cast<uint64_t>(MonotonicNanoseconds());
  }
  static int64_t NanosecondsSince(uint64_t then) {
    return static_cast<int64_t>(static_cast<double>(Now() - then) * nanoseconds);
  }

 private:
  static bool steady;         // it runs at one speed, also in idle states
  static double nanoseconds;  // of a tick
};

// HeldLocks is the number of mutexes that this thread holds; see locks.cc.
int HeldLocks();

}  // namespace nano

#endif  // NANO_GUARD_H_
