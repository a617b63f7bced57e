// Threads that give way to loops: those of slow loops, and V8's own.
//
// A nice value alone does not do it. The kernel decides who runs when a thread wakes up, when one
// goes to sleep and at its own tick, which may come every 4 ms only. If a loop is passed over when
// it wakes up (with three or more threads on a core that happens to one wake-up in 50 to 1,000), it
// waits for that tick, and its clients with it. So a thread that gives way asks for the decision
// itself, every kInterval while it works.
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <mutex>

#include "engine.h"

namespace nano {

namespace {

constexpr int64_t kInterval = 250'000;  // nanoseconds

int YieldSignal() { return SIGRTMIN + 10; }

// A Courtesy is a thread's giving way. All but its creation may be interrupted by its own signal.
class Courtesy {
 public:
  // Make makes that of the calling thread; null: the kernel does not let it.
  static std::unique_ptr<Courtesy> Make();
  ~Courtesy();

  void Work(bool works) {
    works_.store(works, std::memory_order_relaxed);
    if (works && !armed_.load(std::memory_order_relaxed)) Arm();
  }
  // OnSignal is called on the thread, wherever it is. It asks for the next signal only while the
  // thread works, so that one that sleeps is not woken up. One that is about to wait may have come
  // from long work in the kernel, and yields as well.
  void OnSignal() {
    yields_.fetch_add(1, std::memory_order_relaxed);
    sched_yield();
    armed_.store(false, std::memory_order_relaxed);
    if (works_.load(std::memory_order_relaxed)) Arm();
  }
  uint64_t yields() const { return yields_.load(std::memory_order_relaxed); }

 private:
  explicit Courtesy(timer_t timer) : timer_(timer) {}
  void Arm() {
    itimerspec once = {};
    once.it_value.tv_nsec = kInterval;
    armed_.store(timer_settime(timer_, 0, &once, nullptr) == 0, std::memory_order_relaxed);
  }

  const timer_t timer_;
  std::atomic<bool> works_ = false, armed_ = false;
  std::atomic<uint64_t> yields_ = 0;
};

// What the signal handler sees: nothing while the owner below is made or ends.
thread_local Courtesy* courtesy = nullptr;

void OnYieldSignal(int) {
  int error = errno;
  if (courtesy != nullptr) courtesy->OnSignal();
  errno = error;
}

// All other signals wait while the handler runs: the forced end of a turn changes where its thread
// goes on.
void InstallHandler() {
  struct sigaction action = {};
  action.sa_handler = OnYieldSignal;
  action.sa_flags = SA_ONSTACK | SA_RESTART;
  sigfillset(&action.sa_mask);
  sigaction(YieldSignal(), &action, nullptr);
}

// Attributes are the kernel's sched_attr, which not every version of the C library has, as of its
// first version.
struct Attributes {
  uint32_t size;
  uint32_t policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime;  // of SCHED_OTHER: the slice, in nanoseconds
  uint64_t deadline, period;
};
static_assert(sizeof(Attributes) == 48);

// ShortenSlice has a turn of the scheduler's end where the thread yields: who yields gives up the
// rest of it, and would be left with a part of its share only. Kernels before 6.12 ignore it.
void ShortenSlice() {
  Attributes attributes = {};
  if (syscall(SYS_sched_getattr, 0, &attributes, sizeof attributes, 0) != 0 ||
      attributes.policy != SCHED_OTHER)
    return;
  attributes.size = sizeof attributes;
  attributes.runtime = kInterval;
  syscall(SYS_sched_setattr, 0, &attributes, 0);
}

std::unique_ptr<Courtesy> Courtesy::Make() {
  static std::once_flag once;
  std::call_once(once, InstallHandler);
  sigevent event = {};
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = YieldSignal();
  event._sigev_un._tid = static_cast<pid_t>(syscall(SYS_gettid));
  timer_t timer;
  if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0) return nullptr;
  ShortenSlice();
  return std::unique_ptr<Courtesy>(new Courtesy(timer));
}

Courtesy::~Courtesy() {
  courtesy = nullptr;
  timer_delete(timer_);
}

}  // namespace

void GiveWay(bool works) {
  static thread_local std::unique_ptr<Courtesy> own;
  static thread_local bool is_made = false;
  if (!is_made) {
    is_made = true;
    own = Courtesy::Make();
    courtesy = own.get();
  }
  if (own != nullptr) own->Work(works);
}

}  // namespace nano

void nano_give_way(int works) { nano::GiveWay(works != 0); }

uint64_t nano_gave_way(void) { return nano::courtesy == nullptr ? 0 : nano::courtesy->yields(); }
