// The platform V8 runs on: V8's own worker threads for background work, and one queue per isolate
// for foreground tasks, which the loop that owns the isolate runs during a turn. Posting from
// another thread wakes that loop by its eventfd; nothing here calls into Go.
#include <libplatform/libplatform.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "engine.h"

namespace nano {

class Tasks final : public v8::TaskRunner {
 public:
  Tasks(nano_shared* shared, int wake)
      : shared_(shared), wake_(wake), owner_(std::this_thread::get_id()) {}

  bool IdleTasksEnabled() override { return false; }
  bool NonNestableTasksEnabled() const override { return true; }
  bool NonNestableDelayedTasksEnabled() const override { return true; }

  // Close drops all tasks: the isolate is going away, and V8 may still post.
  void Close() {
    std::vector<std::unique_ptr<v8::Task>> dropped;
    std::vector<Delayed> dropped_delayed;
    std::lock_guard<std::mutex> lock(mutex_);
    shared_ = nullptr;
    dropped.swap(ready_);
    dropped_delayed.swap(delayed_);
  }

  void Wake() {
    if (wake_ < 0) return;
    uint64_t one = 1;
    // The counter cannot overflow here, and a full one has woken the loop already.
    [[maybe_unused]] ssize_t written = write(wake_, &one, sizeof one);
  }

  bool Run() {
    bool ran = false;
    for (;;) {
      std::vector<std::unique_ptr<v8::Task>> due;
      {
        std::lock_guard<std::mutex> lock(mutex_);
        if (shared_ == nullptr) return ran;
        TakeDelayed();
        due.swap(ready_);
        __atomic_store_n(&shared_->tasks, 0, __ATOMIC_RELEASE);
      }
      if (due.empty()) return ran;
      ran = true;
      for (auto& task : due) task->Run();
    }
  }

 protected:
  void PostTaskImpl(std::unique_ptr<v8::Task> task, const v8::SourceLocation&) override {
    bool foreign = false;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (shared_ == nullptr) return;
      ready_.push_back(std::move(task));
      foreign = __atomic_exchange_n(&shared_->tasks, 1, __ATOMIC_ACQ_REL) == 0 &&
                std::this_thread::get_id() != owner_;
    }
    if (foreign) Wake();
  }
  void PostNonNestableTaskImpl(std::unique_ptr<v8::Task> task,
                               const v8::SourceLocation& location) override {
    PostTaskImpl(std::move(task), location);
  }
  void PostDelayedTaskImpl(std::unique_ptr<v8::Task> task, double seconds,
                           const v8::SourceLocation&) override {
    std::lock_guard<std::mutex> lock(mutex_);
    if (shared_ == nullptr) return;
    delayed_.push_back(
        {MonotonicNanoseconds() + static_cast<int64_t>(seconds * 1e9), std::move(task)});
    std::push_heap(delayed_.begin(), delayed_.end(), Later);
    PublishDeadline();
  }
  void PostNonNestableDelayedTaskImpl(std::unique_ptr<v8::Task> task, double seconds,
                                      const v8::SourceLocation& location) override {
    PostDelayedTaskImpl(std::move(task), seconds, location);
  }
  void PostIdleTaskImpl(std::unique_ptr<v8::IdleTask>, const v8::SourceLocation&) override {}

 private:
  struct Delayed {
    int64_t time_ns;
    std::unique_ptr<v8::Task> task;
  };
  static bool Later(const Delayed& a, const Delayed& b) { return a.time_ns > b.time_ns; }

  void TakeDelayed() {
    if (delayed_.empty()) return;
    int64_t now = MonotonicNanoseconds();
    while (!delayed_.empty() && delayed_.front().time_ns <= now) {
      std::pop_heap(delayed_.begin(), delayed_.end(), Later);
      ready_.push_back(std::move(delayed_.back().task));
      delayed_.pop_back();
    }
    PublishDeadline();
  }
  void PublishDeadline() {
    __atomic_store_n(&shared_->task_time_ns, delayed_.empty() ? 0 : delayed_.front().time_ns,
                     __ATOMIC_RELEASE);
  }

  std::mutex mutex_;
  nano_shared* shared_;
  const int wake_;
  const std::thread::id owner_;
  std::vector<std::unique_ptr<v8::Task>> ready_;
  std::vector<Delayed> delayed_;
};

namespace {

// Unattended takes the foreground tasks of the sealing isolate (engine.cc), which no loop ever
// runs. Once that isolate is ready, the only ones are for the pool of pages that all isolates
// share: an isolate that ends leaves its pages there for the next one, and asks the first isolate
// of the process to have those freed, 8 s later, that nobody has taken by then. Any thread may do
// that, so a worker does.
class Unattended final : public v8::TaskRunner {
 public:
  explicit Unattended(v8::Platform* workers) : workers_(workers) {}

  // Open is called when the isolate is ready. Tasks from before are about the isolate itself, and
  // dropped.
  void Open() { open_.store(true, std::memory_order_release); }

  bool IdleTasksEnabled() override { return false; }
  bool NonNestableTasksEnabled() const override { return true; }
  bool NonNestableDelayedTasksEnabled() const override { return true; }

 protected:
  void PostTaskImpl(std::unique_ptr<v8::Task>, const v8::SourceLocation&) override {}
  void PostNonNestableTaskImpl(std::unique_ptr<v8::Task>, const v8::SourceLocation&) override {}
  void PostDelayedTaskImpl(std::unique_ptr<v8::Task> task, double seconds,
                           const v8::SourceLocation& location) override {
    if (open_.load(std::memory_order_acquire))
      workers_->PostDelayedTaskOnWorkerThread(v8::TaskPriority::kBestEffort, std::move(task),
                                              seconds, location);
  }
  void PostNonNestableDelayedTaskImpl(std::unique_ptr<v8::Task> task, double seconds,
                                      const v8::SourceLocation& location) override {
    PostDelayedTaskImpl(std::move(task), seconds, location);
  }
  void PostIdleTaskImpl(std::unique_ptr<v8::IdleTask>, const v8::SourceLocation&) override {}

 private:
  v8::Platform* const workers_;
  std::atomic<bool> open_ = false;
};

// Yielding makes the thread that runs it give way to loops (see also Work). It compiles for
// milliseconds on end, on the core of one of them, and nobody waits for that: functions run
// meanwhile, only slower.
class Yielding final : public v8::Task {
 public:
  void Run() override {
    // Failing, the thread competes.
    setpriority(PRIO_PROCESS, static_cast<id_t>(syscall(SYS_gettid)), kWorkerNice);
  }

 private:
  static constexpr int kWorkerNice = 10;  // like slow loops
};

// On whose bill this thread works; null: on none.
const Bill no_bill;
thread_local const Bill* billing = &no_bill;

int64_t ThreadNanoseconds() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return int64_t{time.tv_sec} * 1000000000 + time.tv_nsec;
}

// Work does something on a worker thread, which gives way to loops meanwhile, and on a bill if
// there is one, what that begins there included.
template <typename Body>
void Work(const Bill& bill, Body&& body) {
  BillScope scope(bill);
  int64_t before = ThreadNanoseconds();
  GiveWay(true);
  body();
  GiveWay(false);
  if (bill) bill->fetch_add(ThreadNanoseconds() - before, std::memory_order_relaxed);
}

class BilledTask final : public v8::Task {
 public:
  BilledTask(const Bill& bill, std::unique_ptr<v8::Task> task)
      : bill_(bill), task_(std::move(task)) {}
  void Run() override {
    Work(bill_, [&] { task_->Run(); });
  }

 private:
  const Bill bill_;
  const std::unique_ptr<v8::Task> task_;
};

class BilledJob final : public v8::JobTask {
 public:
  BilledJob(const Bill& bill, std::unique_ptr<v8::JobTask> job)
      : bill_(bill), job_(std::move(job)) {}
  void Run(v8::JobDelegate* delegate) override {
    // A loop that joins in pays as for all that it does.
    if (delegate->IsJoiningThread()) return job_->Run(delegate);
    Work(bill_, [&] { job_->Run(delegate); });
  }
  size_t GetMaxConcurrency(size_t workers) const override {
    return job_->GetMaxConcurrency(workers);
  }

 private:
  const Bill bill_;
  const std::unique_ptr<v8::JobTask> job_;
};

std::unique_ptr<v8::Task> Billed(std::unique_ptr<v8::Task> task) {
  return std::make_unique<BilledTask>(*billing, std::move(task));
}

class Platform final : public v8::Platform {
 public:
  // One background thread: concurrent compilation needs one, and the cores belong to the loops.
  Platform() : workers_(v8::platform::NewDefaultPlatform(1)) {
    workers_->PostTaskOnWorkerThread(v8::TaskPriority::kUserVisible, std::make_unique<Yielding>());
  }

  v8::PageAllocator* GetPageAllocator() override { return workers_->GetPageAllocator(); }
  v8::ThreadIsolatedAllocator* GetThreadIsolatedAllocator() override {
    return workers_->GetThreadIsolatedAllocator();
  }
  int NumberOfWorkerThreads() override { return workers_->NumberOfWorkerThreads(); }
  double MonotonicallyIncreasingTime() override { return workers_->MonotonicallyIncreasingTime(); }
  double CurrentClockTimeMillis() override { return workers_->CurrentClockTimeMillis(); }
  v8::TracingController* GetTracingController() override {
    return workers_->GetTracingController();
  }

  std::shared_ptr<v8::TaskRunner> GetForegroundTaskRunner(v8::Isolate* isolate,
                                                          v8::TaskPriority) override {
    std::lock_guard<std::mutex> lock(mutex_);
    if (isolate == sealing_) return unattended_;
    std::shared_ptr<Tasks>& tasks = runners_[isolate];
    // Asked for before AttachTasks (while V8 creates the isolate) or by the snapshot builder.
    if (!tasks) tasks = std::make_shared<Tasks>(&unattached_, -1);
    return tasks;
  }
  // Reserve must come before V8 first asks for the isolate's runner, so that nobody keeps another.
  std::shared_ptr<Tasks> Reserve(v8::Isolate* isolate, nano_shared* shared, int wake) {
    std::lock_guard<std::mutex> lock(mutex_);
    auto tasks = std::make_shared<Tasks>(shared, wake);
    runners_[isolate] = tasks;
    return tasks;
  }
  // Seal must come before V8 first asks for the isolate's runner, too.
  void Seal(v8::Isolate* isolate) {
    std::lock_guard<std::mutex> lock(mutex_);
    sealing_ = isolate;
  }
  void Sealed() { unattended_->Open(); }
  void Forget(v8::Isolate* isolate) {
    std::shared_ptr<Tasks> tasks;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      auto found = runners_.find(isolate);
      if (found == runners_.end()) return;
      tasks = std::move(found->second);
      runners_.erase(found);
    }
    tasks->Close();
  }

 protected:
  std::unique_ptr<v8::JobHandle> CreateJobImpl(v8::TaskPriority priority,
                                               std::unique_ptr<v8::JobTask> task,
                                               const v8::SourceLocation& location) override {
    return workers_->CreateJob(priority, std::make_unique<BilledJob>(*billing, std::move(task)),
                               location);
  }
  void PostTaskOnWorkerThreadImpl(v8::TaskPriority priority, std::unique_ptr<v8::Task> task,
                                  const v8::SourceLocation& location) override {
    workers_->PostTaskOnWorkerThread(priority, Billed(std::move(task)), location);
  }
  void PostDelayedTaskOnWorkerThreadImpl(v8::TaskPriority priority, std::unique_ptr<v8::Task> task,
                                         double seconds,
                                         const v8::SourceLocation& location) override {
    workers_->PostDelayedTaskOnWorkerThread(priority, Billed(std::move(task)), seconds, location);
  }

 private:
  std::unique_ptr<v8::Platform> workers_;
  std::mutex mutex_;
  std::unordered_map<v8::Isolate*, std::shared_ptr<Tasks>> runners_;
  v8::Isolate* sealing_ = nullptr;
  const std::shared_ptr<Unattended> unattended_ = std::make_shared<Unattended>(this);
  nano_shared unattached_ = {};
};

Platform* platform = nullptr;

}  // namespace

BillScope::BillScope(const Bill& bill) : outer_(billing) { billing = &bill; }
BillScope::~BillScope() { billing = outer_; }

std::unique_ptr<v8::Platform> NewPlatform() {
  auto created = std::make_unique<Platform>();
  platform = created.get();
  return created;
}

std::shared_ptr<Tasks> AttachTasks(v8::Isolate* isolate, nano_shared* shared, int wake) {
  return platform->Reserve(isolate, shared, wake);
}

void SealTasks(v8::Isolate* isolate) { platform->Seal(isolate); }

void TasksSealed() { platform->Sealed(); }

void DetachTasks(v8::Isolate* isolate) { platform->Forget(isolate); }

void PostTask(Tasks& tasks, std::unique_ptr<v8::Task> task) { tasks.PostTask(std::move(task)); }

bool RunTasks(Tasks& tasks) { return tasks.Run(); }

void WakeForTasks(Tasks& tasks) { tasks.Wake(); }

}  // namespace nano
