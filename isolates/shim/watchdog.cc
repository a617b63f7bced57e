// The watchdog measures the CPU time of requests and ends those that use too much.
//
// Each loop thread has a timer on its own CPU clock, so nothing ticks while the node is idle and
// waiting is never charged to anyone. The timers signal one watchdog thread. It asks V8 for an
// interrupt, and the isolate's own thread charges the tick to the request whose code it stands in:
// a sample, and a fair one, since a request that runs for half of the time is met by half of the
// ticks. A turn itself pays for two clock readings, a few stores and a compare-and-swap.
//
// V8 looks for interrupts where JavaScript loops and calls, but not in its built-ins:
// `Array.prototype.indexOf.call({length: 2**53 - 1}, 1)` runs for months. What goes on after it
// was ended is therefore forced, in three steps (kForce…).
#if defined(__x86_64__)
#include <cpuid.h>
#endif
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <mutex>
#include <system_error>

#include "engine.h"

extern "C" {
// Bounds of the program's own code; of the linker.
extern char __executable_start, etext;
}

namespace nano {

namespace {

constexpr int64_t kMillisecond = 1000000;
constexpr int64_t kTick = 2 * kMillisecond;

// A turn that has taken longer than this takes no more records: other apps come first.
constexpr int64_t kTurnShare = 2 * kMillisecond;

// What no request is charged for (ended ones go on in timers and promises) may use the limit of
// one request at once, and for long this part of a core.
constexpr double kBackgroundShare = 0.05;

// The request that a tick meets pays for others of its isolate, too: by chance, and a few times in
// the long run. So that this does not end it, one tick takes no more than this part of its limit.
constexpr int64_t kEarlierShare = 32;

// How an isolate that goes on after it was ended is forced, and the CPU time that it gets before.
//
//   kForceCode: abandoned where V8's built-ins or compiled JavaScript run, which hold no locks of
//     C++, and when V8 next collects garbage or asks for memory.
//   kForceAll: abandoned in V8's C++ code as well, if the thread holds no lock. Such code has
//     computed for this long without an allocation that led to a collection, so the heap is not
//     being changed: String.prototype.indexOf of adverse strings, for one.
enum Force : uint32_t { kForceNot, kForceCode, kForceAll };
constexpr int64_t kForceCodeAfter = 50 * kMillisecond;
constexpr int64_t kForceAllAfter = 150 * kMillisecond;

pid_t watchdog_thread = 0;

int TickSignal() { return SIGRTMIN + 8; }
int ForceSignal() { return SIGRTMIN + 9; }

sigset_t OnlyTicks() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, TickSignal());
  return set;
}

int64_t Nanoseconds(clockid_t clock) {
  timespec time;
  clock_gettime(clock, &time);
  return int64_t{time.tv_sec} * 1000000000 + time.tv_nsec;
}

// ---- On the isolate's thread ----

// ChargeBackground charges what belongs to no request. Like a bucket with a hole.
bool ChargeBackground(Meter& meter, int64_t used) {
  int64_t now = MonotonicNanoseconds();
  auto drained =
      static_cast<int64_t>(static_cast<double>(now - meter.background_at) * kBackgroundShare);
  meter.background = std::max(int64_t{0}, meter.background - drained) + used;
  meter.background_at = now;
  return meter.background <= meter.scope_limit;
}

// Charge charges CPU time to the request that runs: V8 carries its Exchange (90_dispatch.js)
// in what it carries through promises as "continuation-preserved embedder data", see 01_infra.js.
// False: that was too much.
bool Charge(nano_isolate* self, int64_t used) {
  v8::Isolate* isolate = self->isolate;
  v8::HandleScope handles(isolate);
  v8::Local<v8::Value> running = isolate->GetContinuationPreservedEmbedderData();
  v8::Local<v8::Context> context;
  v8::Local<v8::Value> ended, sum;
  if (!running->IsObject() ||
      !running.As<v8::Object>()->GetCreationContext(isolate).ToLocal(&context) ||
      !running.As<v8::Object>()->Get(context, OneByte(isolate, "exchange")).ToLocal(&running) ||
      !running->IsObject() ||
      !running.As<v8::Object>()->Get(context, OneByte(isolate, "ended")).ToLocal(&ended) ||
      ended->IsTrue() ||
      !running.As<v8::Object>()->Get(context, OneByte(isolate, "cpu")).ToLocal(&sum) ||
      !sum->IsNumber())
    return ChargeBackground(self->meter, used);
  // In microseconds: for less than half an hour a small integer.
  double charged = sum.As<v8::Number>()->Value() + static_cast<double>(used / 1000);
  (void)running.As<v8::Object>()->Set(context, OneByte(isolate, "cpu"),
                                      v8::Number::New(isolate, charged));
  return charged * 1000 <= static_cast<double>(self->meter.scope_limit);
}

// OnTick is V8's interrupt.
void OnTick(v8::Isolate*, void* data) {
  auto* self = static_cast<nano_isolate*>(data);
  Meter& meter = self->meter;
  meter.asked.store(false, std::memory_order_relaxed);
  int64_t used = meter.pending.exchange(0, std::memory_order_relaxed);
  if (used == 0 || IsDead(self)) return;
  if (!Charge(self, used) && meter.scope_limit > 0) return Kill(self, NANO_DEAD_CPU);
  if (self->heap_limit != 0 && ExternalMemory(self) > self->heap_limit)
    return Kill(self, NANO_DEAD_MEMORY);
  if (Clock::NanosecondsSince(meter.began) >= kTurnShare) EndTurn(self);
}

// ---- Forcing, on the isolate's thread ----

// IsCode tells that an instruction belongs to V8's built-ins or to compiled JavaScript.
bool IsCode(const nano_isolate* self, uintptr_t at) {
  return at - self->builtins.start < self->builtins.length ||
         at - self->code.start < self->code.length;
}

bool IsOurs(uintptr_t at) {
  return at >= reinterpret_cast<uintptr_t>(&__executable_start) &&
         at < reinterpret_cast<uintptr_t>(&etext);
}

// OnForce is a signal handler. If what it has interrupted may be abandoned, it makes the thread go
// on in Abandon when it returns. Else the watchdog's next tick tries again.
void OnForce(int, siginfo_t*, void* context) {
  Rescue* rescue = RescuedHere();
  if (rescue == nullptr || !IsDead(rescue->self)) return;
  Meter& meter = rescue->self->meter;
  uint32_t force = meter.force.load(std::memory_order_relaxed);
  if (force == kForceNot || meter.collecting.load(std::memory_order_relaxed) ||
      meter.in_go.load(std::memory_order_relaxed))
    return;
  mcontext_t& machine = static_cast<ucontext_t*>(context)->uc_mcontext;
#if defined(__x86_64__)
  auto at = static_cast<uintptr_t>(machine.gregs[REG_RIP]);
#elif defined(__aarch64__)
  auto at = static_cast<uintptr_t>(machine.pc);
#endif
  // An inspected isolate may be in V8's sampler.
  bool is_all = force == kForceAll && rescue->self->inspection == nullptr;
  if (!IsCode(rescue->self, at) && !(is_all && IsOurs(at) && HeldLocks() == 0)) return;
  // Below what a leaf function may use without moving the stack pointer (128 bytes on amd64), as
  // the ABI wants it at a function's first instruction.
  auto entry = reinterpret_cast<uintptr_t>(&Abandon);
#if defined(__x86_64__)
  constexpr greg_t kDirectionFlag = 1 << 10;
  machine.gregs[REG_RSP] = ((machine.gregs[REG_RSP] - 256) & ~greg_t{15}) - 8;
  machine.gregs[REG_EFL] &= ~kDirectionFlag;
  machine.gregs[REG_RIP] = static_cast<greg_t>(entry);
#elif defined(__aarch64__)
  machine.sp = (machine.sp - 256) & ~uint64_t{15};
  machine.pc = entry;
#endif
}

}  // namespace

// ---- On the watchdog's thread ----

// Watch is what the watchdog sees of a loop thread.
class Watch {
 public:
  Watch() : thread_(static_cast<pid_t>(syscall(SYS_gettid))) {
    pthread_getcpuclockid(pthread_self(), &clock_);
  }
  void Begin(nano_isolate* self) {
    if (Clock::NanosecondsSince(read_at_) >= kMillisecond) ReadClock();
    self_ = self;
    state_.store(kRunning, std::memory_order_release);
  }
  // After End the watchdog does not touch the isolate of this turn any more.
  void End() {
    uint32_t running = kRunning;
    while (!state_.compare_exchange_weak(running, kIdle, std::memory_order_acq_rel)) {
      if (running == kIdle) return;  // what was abandoned had suspended it
      running = kRunning;
    }
  }
  // Tick is called about once for each kTick of the loop's CPU time: the kernel's own tick decides.
  void Tick() {
    int64_t now = Nanoseconds(clock_);
    int64_t used = now - seen_;
    seen_ = now;
    uint32_t running = kRunning;
    if (!state_.compare_exchange_strong(running, kInspected, std::memory_order_acq_rel)) return;
    Inspect(used);
    state_.store(kRunning, std::memory_order_release);
  }
  // ReadClock gives the CPU time of the thread since it was called last: at least that of the turn
  // that has just ended, and hardly more, since Begin calls it, too.
  int64_t ReadClock() {
    int64_t before = read_;
    read_ = Nanoseconds(clock_);
    read_at_ = Clock::Now();
    return read_ - before;
  }

 private:
  enum State : uint32_t { kIdle, kRunning, kInspected };

  // Inspect looks at a turn after a tick. It is charged for what it has used itself, and for a part
  // of what earlier turns have: most of them are shorter than a tick and end before the watchdog
  // comes, so that those in which it finds one stand for all.
  void Inspect(int64_t used) {
    Meter& meter = self_->meter;
    int64_t own = std::min(used, Clock::NanosecondsSince(meter.began));
    int64_t earlier = std::min({used - own, meter.uncharged, meter.scope_limit / kEarlierShare});
    meter.uncharged -= earlier;
    meter.charged += own;
    used = own + earlier;
    int64_t waited = meter.pending.fetch_add(used, std::memory_order_relaxed) + used;
    if (IsDead(self_)) return Escalate(waited);
    if (meter.scope_limit > 0 && waited > meter.scope_limit) {
      // V8 has not come to a stack check for all this time.
      meter.pending.store(0, std::memory_order_relaxed);
      Kill(self_, NANO_DEAD_CPU);
    } else if (!meter.asked.exchange(true, std::memory_order_relaxed)) {
      self_->isolate->RequestInterrupt(OnTick, self_);
    }
  }

  void Escalate(int64_t waited) {
    if (waited < kForceCodeAfter) return;
    self_->meter.force.store(waited < kForceAllAfter ? kForceCode : kForceAll,
                             std::memory_order_relaxed);
    syscall(SYS_tgkill, getpid(), thread_, ForceSignal());
  }

  const pid_t thread_;
  clockid_t clock_;
  std::atomic<uint32_t> state_{kIdle};
  nano_isolate* self_ = nullptr;  // written before kRunning, read in kInspected
  int64_t seen_ = 0;              // of the clock, on the watchdog's thread
  int64_t read_ = 0;              // of the clock, on the thread itself
  uint64_t read_at_ = 0;          // Clock::Now
};

namespace {

thread_local Watch* this_thread = nullptr;

void* RunWatchdog(void* ready) {
  watchdog_thread = static_cast<pid_t>(syscall(SYS_gettid));
  pthread_setname_np(pthread_self(), "nano-watchdog");
  static_cast<std::atomic<bool>*>(ready)->store(true);
  static_cast<std::atomic<bool>*>(ready)->notify_one();
  sigset_t set = OnlyTicks();
  for (;;) {
    siginfo_t info;
    if (sigwaitinfo(&set, &info) == TickSignal())
      static_cast<Watch*>(info.si_value.sival_ptr)->Tick();
  }
}

// The thread blocks all signals: Go's handlers must not run on a thread that Go does not know.
bool StartThread() {
  // All others wait while the handler runs, Go's too: it changes where the thread goes on.
  struct sigaction force = {};
  force.sa_sigaction = OnForce;
  force.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
  sigfillset(&force.sa_mask);
  if (sigaction(ForceSignal(), &force, nullptr) != 0) return false;
  sigset_t all, old;
  sigfillset(&all);
  std::atomic<bool> ready{false};
  pthread_t thread;
  pthread_sigmask(SIG_SETMASK, &all, &old);
  int failed = pthread_create(&thread, nullptr, RunWatchdog, &ready);
  pthread_sigmask(SIG_SETMASK, &old, nullptr);
  if (failed != 0) return false;
  pthread_detach(thread);
  ready.wait(false);
  return true;
}

}  // namespace

void ChargeWork(nano_isolate* self, int64_t nanoseconds) {
  if (!Charge(self, static_cast<int64_t>(static_cast<double>(nanoseconds) * kBackgroundShare)) &&
      self->meter.scope_limit > 0)
    Kill(self, NANO_DEAD_CPU);
}

void SuspendWatch() {
  if (this_thread != nullptr) this_thread->End();
}

void ResumeWatch(nano_isolate* self) {
  if (this_thread != nullptr && self->in_scope) this_thread->Begin(self);
}

void HoldForceInSampler() {
  struct sigaction sampler;
  if (sigaction(SIGPROF, nullptr, &sampler) != 0) return;
  sigaddset(&sampler.sa_mask, ForceSignal());
  sigaction(SIGPROF, &sampler, nullptr);
}

int64_t MonotonicNanoseconds() { return Nanoseconds(CLOCK_MONOTONIC); }

bool Clock::steady = false;
double Clock::nanoseconds = 1;

void Clock::Calibrate() {
  static int64_t first_time = 0;
  static uint64_t first_tick = 0;
#if defined(__x86_64__)
  constexpr unsigned kPowerManagement = 0x80000007, kInvariant = 1 << 8;
  unsigned a, b, c, d;
  steady = __get_cpuid(kPowerManagement, &a, &b, &c, &d) != 0 && (d & kInvariant) != 0;
#elif defined(__aarch64__)
  steady = true;
#endif
  if (!steady) return;
  int64_t time = MonotonicNanoseconds();
  uint64_t tick = Now();
  if (first_tick == 0) {
    first_time = time;
    first_tick = tick;
  } else if (tick > first_tick) {
    nanoseconds = static_cast<double>(time - first_time) / static_cast<double>(tick - first_tick);
  }
}

WatchScope::WatchScope(nano_isolate* self, int64_t limit_ns) : self_(self), watch_(this_thread) {
  Meter& meter = self->meter;
  meter.scope_limit = limit_ns;
  // A tick whose interrupt came too late for its turn is charged later.
  meter.uncharged += meter.pending.exchange(0, std::memory_order_relaxed);
  if (int64_t elsewhere = self->billed->exchange(0, std::memory_order_relaxed)) {
    self->shared.cpu_ns += elsewhere;
    meter.uncharged += elsewhere;
  }
  meter.charged = 0;
  meter.began = Clock::Now();
  self->in_scope = true;
  if (watch_ != nullptr) watch_->Begin(self);
}

WatchScope::~WatchScope() {
  self_->in_scope = false;
  if (watch_ != nullptr) watch_->End();
  int64_t used = Clock::NanosecondsSince(self_->meter.began);
  // The kernel may have given the core to another thread meanwhile, as it does with slow loops. To
  // ask it costs more than the rest of a turn, and is worth it for long ones.
  if (watch_ != nullptr && used >= kMillisecond) used = std::min(used, watch_->ReadClock());
  self_->shared.cpu_ns += used;
  Meter& meter = self_->meter;
  // The app's start is no request's. What has piled up beyond a request's limit is forgotten.
  if (meter.scope_limit == meter.limit)
    meter.uncharged =
        std::min(meter.uncharged + std::max(int64_t{0}, used - meter.charged), meter.limit);
  if (used < kTurnShare) self_->drains = false;
}

}  // namespace nano

const char* nano_watch_thread(void) {
  using namespace nano;
  if (this_thread != nullptr) return nullptr;
  static std::once_flag once;
  static bool started = false;
  std::call_once(once, [] { started = StartThread(); });
  if (!started) return "the watchdog thread cannot be started";
  auto* watch = new Watch;  // as long as the process, like the loop threads
  sigevent event = {};
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = TickSignal();
  event.sigev_value.sival_ptr = watch;
  event._sigev_un._tid = watchdog_thread;
  timer_t timer;
  itimerspec interval = {};
  interval.it_interval.tv_nsec = interval.it_value.tv_nsec = kTick;
  if (timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &timer) != 0 ||
      timer_settime(timer, 0, &interval, nullptr) != 0)
    return "no timer on the CPU clock of the thread";
  this_thread = watch;
  return nullptr;
}
