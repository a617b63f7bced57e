// The watchdog ends turns that use too much CPU.
//
// Each loop thread has a timer on its own CPU clock, so nothing ticks while the node is idle and
// waiting is never charged to an app. The timers signal one watchdog thread, which counts the ticks
// that a turn has lasted. A turn itself pays for two stores and a compare-and-swap.
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <mutex>
#include <system_error>

#include "engine.h"

namespace nano {

namespace {

constexpr int64_t kTickMilliseconds = 5;

pid_t watchdog_thread = 0;

int Signal() { return SIGRTMIN + 8; }

sigset_t OnlySignal() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, Signal());
  return set;
}

}  // namespace

// Watch is what the watchdog sees of a loop thread.
class Watch {
 public:
  void Begin(nano_isolate* isolate, int64_t limit_ms) {
    isolate_ = isolate;
    limit_ms_ = limit_ms;
    turn_++;
    state_.store(kRunning, std::memory_order_release);
  }
  // After End the watchdog does not touch the isolate of this turn any more.
  void End() {
    uint32_t running = kRunning;
    while (!state_.compare_exchange_weak(running, kIdle, std::memory_order_acq_rel))
      running = kRunning;
  }
  // Tick is called by the watchdog thread, once for each kTickMilliseconds of the loop's CPU time.
  void Tick() {
    uint32_t running = kRunning;
    if (!state_.compare_exchange_strong(running, kInspected, std::memory_order_acq_rel)) return;
    if (turn_ != seen_turn_) {
      seen_turn_ = turn_;
      ticks_ = 0;
    } else if (++ticks_ * kTickMilliseconds >= limit_ms_ && limit_ms_ > 0) {
      nano_isolate_terminate(isolate_, NANO_DEAD_CPU);
    }
    state_.store(kRunning, std::memory_order_release);
  }

 private:
  enum State : uint32_t { kIdle, kRunning, kInspected };
  std::atomic<uint32_t> state_{kIdle};
  nano_isolate* isolate_ = nullptr;  // written before kRunning, read in kInspected
  int64_t limit_ms_ = 0;
  uint64_t turn_ = 0;
  uint64_t seen_turn_ = 0;
  int64_t ticks_ = 0;
};

namespace {

thread_local Watch* this_thread = nullptr;

void* RunWatchdog(void* ready) {
  watchdog_thread = static_cast<pid_t>(syscall(SYS_gettid));
  pthread_setname_np(pthread_self(), "nano-watchdog");
  static_cast<std::atomic<bool>*>(ready)->store(true);
  static_cast<std::atomic<bool>*>(ready)->notify_one();
  sigset_t set = OnlySignal();
  for (;;) {
    siginfo_t info;
    if (sigwaitinfo(&set, &info) == Signal()) static_cast<Watch*>(info.si_value.sival_ptr)->Tick();
  }
}

// The thread blocks all signals: Go's handlers must not run on a thread that Go does not know.
bool StartThread() {
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

WatchScope::WatchScope(nano_isolate* isolate, int64_t limit_ms) : watch_(this_thread) {
  if (watch_ != nullptr) watch_->Begin(isolate, limit_ms);
}

WatchScope::~WatchScope() {
  if (watch_ != nullptr) watch_->End();
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
  event.sigev_signo = Signal();
  event.sigev_value.sival_ptr = watch;
  event._sigev_un._tid = watchdog_thread;
  timer_t timer;
  itimerspec interval = {};
  interval.it_interval.tv_nsec = interval.it_value.tv_nsec = kTickMilliseconds * 1000000;
  if (timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &timer) != 0 ||
      timer_settime(timer, 0, &interval, nullptr) != 0)
    return "no timer on the CPU clock of the thread";
  this_thread = watch;
  return nullptr;
}
