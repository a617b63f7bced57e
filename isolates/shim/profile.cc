// What DevTools opens: heap snapshots and CPU profiles of an isolate.
//
// A heap snapshot takes seconds and several times the heap's size in memory, and the isolate must
// not change meanwhile. So the process is forked, and the child, which has a copy of everything as
// it was and nothing else to do, takes the snapshot and ends. The loop waits only for fork(), which
// copies page tables: some milliseconds for each gigabyte that is resident. Whatever becomes of the
// child (V8 aborts for lack of memory, say), the process lives on as if nothing had happened.
//
// Of the child's threads there is but the one that forked. V8's tables of the process have mutexes
// that another thread may have held at that moment; the child then waits for ever, which Go notices
// by its CPU clock standing still.
//
// A CPU profile is V8's own sampler: a thread of V8's sends SIGPROF to the thread that runs the
// isolate, and the handler walks the stack.
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <v8-profiler.h>

#include <cerrno>
#include <climits>
#include <cstring>

#include "engine.h"

namespace nano {

#define NANO_ABORT_COMPILATIONS \
  "_ZN2v88internal7Isolate27AbortConcurrentOptimizationENS0_16BlockingBehaviorE"

// Has V8 drop the compilations that its background threads do for an isolate. kBlock: returns when
// none goes on. A collection in the child would wait for such a thread, which is not there.
enum class BlockingBehavior { kBlock, kDontBlock };
void AbortCompilations(v8::Isolate* isolate, BlockingBehavior) asm(NANO_ABORT_COMPILATIONS);

namespace {

// ---- Heap snapshots ----

// File writes to a file descriptor. It blocks, in the child.
class File final : public v8::OutputStream {
 public:
  explicit File(int fd) : fd_(fd) {}
  int GetChunkSize() override { return 64 << 10; }
  void EndOfStream() override { ended_ = true; }
  WriteResult WriteAsciiChunk(char* data, int length) override {
    while (length > 0) {
      ssize_t written = write(fd_, data, static_cast<size_t>(length));
      if (written < 0 && errno == EINTR) continue;
      if (written <= 0) return kAbort;
      data += written;
      length -= static_cast<int>(written);
    }
    return kContinue;
  }
  bool ended() const { return ended_; }

 private:
  const int fd_;
  bool ended_ = false;
};

// LeaveProcess takes from the child what it must not touch: the files of the process (a connection
// that the parent closes would stay open), its signal handlers, of which Go's work in the parent
// only, its place among the loops.
void LeaveProcess(int fd, pid_t parent) {
  // It ends with the thread that it comes from: one that waits for a lock would outlive the node,
  // with the rings of its loops, and so their sockets, in its memory.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(1);
  constexpr int kOwn = 3;
  // Where memory is short the kernel ends it, rather than the node. Failing, it chooses by size.
  if (int adjust = open("/proc/self/oom_score_adj", O_WRONLY); adjust >= 0) {
    constexpr std::string_view kFirst = "1000";
    [[maybe_unused]] ssize_t written = write(adjust, kFirst.data(), kFirst.size());
    close(adjust);
  }
  if (fd != kOwn) dup2(fd, kOwn);
  syscall(SYS_close_range, kOwn + 1, UINT_MAX, 0);
  int none = open("/dev/null", O_RDWR);
  for (int standard = 0; standard < kOwn; standard++) dup2(none, standard);
  close(none);
  for (int signal : {SIGABRT, SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE, SIGPIPE, SIGPROF}) {
    struct sigaction plain = {};
    plain.sa_handler = SIG_DFL;
    sigaction(signal, &plain, nullptr);
  }
  rlimit no_core = {0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  prctl(PR_SET_NAME, "nano-heap");
  // Failing, it competes with the loops.
  constexpr int kNice = 10;
  setpriority(PRIO_PROCESS, 0, kNice);
  cpu_set_t all;
  memset(&all, 0xff, sizeof all);
  sched_setaffinity(0, sizeof all, &all);
}

// TakeSnapshot is the life of the child. It ends without destructors and without what is to be done
// at an exit: that belongs to the parent.
[[noreturn]] void TakeSnapshot(nano_isolate* self, int fd, pid_t parent) {
  constexpr int kOwn = 3;
  LeaveProcess(fd, parent);
  v8::Isolate* isolate = self->isolate;
  v8::Isolate::Scope isolate_scope(isolate);
  v8::HandleScope handles(isolate);
  isolate->RemoveNearHeapLimitCallback(OnNearHeapLimit, 0);
  const v8::HeapSnapshot* snapshot = isolate->GetHeapProfiler()->TakeHeapSnapshot();
  if (snapshot == nullptr) _exit(1);
  File file(kOwn);
  snapshot->Serialize(&file);
  _exit(file.ended() ? 0 : 1);
}

// ---- CPU profiles ----

class Text final : public v8::OutputStream {
 public:
  int GetChunkSize() override { return 64 << 10; }
  void EndOfStream() override {}
  WriteResult WriteAsciiChunk(char* data, int length) override {
    text.append(data, static_cast<size_t>(length));
    return kContinue;
  }
  std::string text;
};

}  // namespace

struct Profile {
  v8::CpuProfiler* profiler;
  v8::ProfilerId id;
};

void EndProfile(nano_isolate* self) {
  if (self->profile == nullptr) return;
  v8::Isolate::Scope scope(self->isolate);
  v8::CpuProfile* profile = self->profile->profiler->Stop(self->profile->id);
  if (profile != nullptr) profile->Delete();
  self->profile->profiler->Dispose();
  delete self->profile;
  self->profile = nullptr;
}

}  // namespace nano

using namespace nano;

int64_t nano_heap_snapshot(nano_isolate* self, int fd, char** error) {
  if (self->owner != pthread_self())
    Fatal("heap snapshot", "an isolate was used by another thread");
  {
    v8::Isolate::Scope scope(self->isolate);
    AbortCompilations(self->isolate, BlockingBehavior::kBlock);
  }
  // The child begins with all signals blocked: Go's handlers must not run there. And fork() would
  // begin anew for each signal that comes meanwhile.
  sigset_t all, old;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  const pid_t parent = getpid();
  pid_t child = fork();
  if (child == 0) TakeSnapshot(self, fd, parent);
  int failure = errno;
  pthread_sigmask(SIG_SETMASK, &old, nullptr);
  if (child > 0) return child;
  *error = CopyOut(std::string("fork: ") + strerror(failure));
  return -1;
}

int nano_profile_start(nano_isolate* self, int interval_us, uint32_t samples_max, char** error) {
  if (self->profile != nullptr) {
    *error = CopyOut("the isolate is being profiled already");
    return -1;
  }
  bool started = false;
  // V8 looks at all code there is, and at the source of that which came with a snapshot.
  Survive(self, [&] {
    RealmScope scope(self->main());
    v8::CpuProfiler* profiler = v8::CpuProfiler::New(self->isolate);
    profiler->SetSamplingInterval(interval_us);
    v8::CpuProfilingResult result = profiler->Start(
        v8::CpuProfilingOptions(v8::kLeafNodeLineNumbers, samples_max, interval_us));
    started = result.status == v8::CpuProfilingStatus::kStarted;
    if (started)
      self->profile = new Profile{profiler, result.id};
    else
      profiler->Dispose();
  });
  if (!started) {
    *error = CopyOut("V8 cannot start a profile");
    return -1;
  }
  HoldForceInSampler();
  return 0;
}

nano_bytes nano_profile_stop(nano_isolate* self) {
  if (self->profile == nullptr) return {nullptr, 0};
  v8::Isolate::Scope isolate_scope(self->isolate);
  v8::HandleScope handles(self->isolate);
  Text json;
  v8::CpuProfile* profile = self->profile->profiler->Stop(self->profile->id);
  if (profile != nullptr) {
    profile->Serialize(&json);
    profile->Delete();
  }
  self->profile->profiler->Dispose();
  delete self->profile;
  self->profile = nullptr;
  if (json.text.empty()) return {nullptr, 0};
  return {CopyOut(json.text), json.text.size()};
}
