// V8's inspector for an app: what Chrome's DevTools and VS Code debug it by.
//
// A nano_inspector belongs to an app for as long as it can be debugged, and outlives its isolates:
// one of them is attached to it at a time. Its sessions are the clients. Their messages, of the
// Chrome DevTools Protocol, wait in queues: those that come in for the isolate's thread, which is
// woken by a foreground task, and in the middle of JavaScript by an interrupt; those that go out
// for whoever calls nano_session_receive. While JavaScript stands at a breakpoint the isolate's
// thread waits here, in C++, for messages; other apps of its loop wait with it. When the isolate is
// replaced, sessions go on with the next one: V8 gives their state, enabled domains and breakpoints
// by URL, as bytes that it takes back.
//
// A mutex guards the queues. What concerns V8 is touched by the isolate's thread alone.
#include <v8-inspector.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstring>

#include "engine.h"
#include "simdutf.h"

// Not in V8's headers, but of its library.
namespace v8::debug {
class Script;
void GetLoadedScripts(Isolate*, std::vector<Global<Script>>&);
}  // namespace v8::debug

using v8_inspector::StringBuffer;
using v8_inspector::StringView;

// What waits for a client, or comes from it, may have so many bytes. A message of V8's waits for
// room as long as the client takes something within kPatience; then the session ends.
constexpr size_t kQueueBytesMax = 32 << 20;
constexpr auto kPatience = std::chrono::seconds(10);
constexpr size_t kSessionsMax = 16;

// A client. Guarded by the inspector's mutex but for what is said.
struct nano_session {
  explicit nano_session(nano_inspector* inspector) : inspector(inspector) {}

  nano_inspector* const inspector;
  std::shared_ptr<nano_session> held;  // by Go, until nano_session_free
  std::deque<std::string> out;
  size_t out_bytes = 0, taken = 0;      // taken: messages so far
  size_t in_bytes = 0;                  // that wait in nano_inspector::in
  bool closed = false;                  // nothing more goes in or out
  std::condition_variable has_message;  // or is closed
  std::condition_variable has_room;     // or is closed
  std::vector<uint8_t> state;           // V8's, on the isolate's thread
};

namespace nano {
struct Inspection;
}

struct nano_inspector {
  enum What { kOpen, kMessage, kClose };
  struct Incoming {
    What what;
    std::shared_ptr<nano_session> session;
    std::string text;
  };

  std::string
      base;  // URL of the folder that names of modules are relative to, with a slash at its end
  int64_t pause_max_ns = 0;  // 0: none
  bool breaks = false;       // before the first line, at the next start; on the isolate's thread
  std::mutex mutex;
  std::deque<Incoming> in;
  std::condition_variable news;
  std::vector<std::shared_ptr<nano_session>> sessions;  // open
  nano_isolate* claimed = nullptr;                      // is to be attached, or is
  nano_isolate* isolate = nullptr;                      // attached
  bool waits = false;                                   // its thread waits for news
  bool stopped = false;
  bool released = false;  // no pause lasts

  // With the mutex held: closes a session for its client.
  void Close(nano_session* session) {
    if (session->closed) return;
    session->closed = true;
    session->has_message.notify_all();
    session->has_room.notify_all();
  }
  // With the mutex held: has the isolate's thread look at what came in.
  void Wake();
};

namespace nano {

namespace {

// The context group of an app: all its contexts.
constexpr int kGroup = 1;

StringView View(std::string_view ascii) {
  return StringView(reinterpret_cast<const uint8_t*>(ascii.data()), ascii.size());
}

// Utf16 is a text of V8's inspector, which takes one-byte strings for ASCII.
struct Utf16 {
  explicit Utf16(std::string_view text) : text_(text) {
    if (simdutf::validate_ascii(text.data(), text.size())) return;
    wide_.resize(simdutf::utf16_length_from_utf8(text.data(), text.size()));
    wide_.resize(simdutf::convert_valid_utf8_to_utf16le(text.data(), text.size(), wide_.data()));
  }
  StringView view() const {
    if (wide_.empty()) return View(text_);
    return StringView(reinterpret_cast<const uint16_t*>(wide_.data()), wide_.size());
  }

 private:
  const std::string_view text_;
  std::u16string wide_;
};

std::string Utf8Of(const StringView& text) {
  std::string out;
  if (text.is8Bit()) {
    auto* from = reinterpret_cast<const char*>(text.characters8());
    out.resize(simdutf::utf8_length_from_latin1(from, text.length()));
    out.resize(simdutf::convert_latin1_to_utf8(from, text.length(), out.data()));
    return out;
  }
  std::u16string from(reinterpret_cast<const char16_t*>(text.characters16()), text.length());
  for (size_t i = 0; i < from.size(); i++) {  // halves of surrogate pairs are replaced
    bool is_high = (from[i] & 0xfc00) == 0xd800;
    if (is_high && i + 1 < from.size() && (from[i + 1] & 0xfc00) == 0xdc00)
      i++;
    else if ((from[i] & 0xf800) == 0xd800)
      from[i] = 0xfffd;
  }
  out.resize(simdutf::utf8_length_from_utf16le(from.data(), from.size()));
  auto converted =
      simdutf::convert_utf16le_to_utf8_with_errors(from.data(), from.size(), out.data());
  out.resize(converted.error == simdutf::SUCCESS ? converted.count : 0);
  return out;
}

// UrlPath is a path as it stands in a URL.
std::string UrlPath(std::string_view path) {
  constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (char c : path) {
    auto byte = static_cast<unsigned char>(c);
    if (byte > ' ' && byte < 0x7f && strchr("%?#\"<>`{}|\\^", c) == nullptr) {
      out += c;
    } else {
      out += '%';
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    }
  }
  return out;
}

// Channel takes what V8 says to a client.
class Channel final : public v8_inspector::V8Inspector::Channel {
 public:
  explicit Channel(std::shared_ptr<nano_session> session) : session_(std::move(session)) {}
  void sendResponse(int, std::unique_ptr<StringBuffer> message) override {
    if (!is_mute_) Send(Utf8Of(message->string()));
  }
  void sendNotification(std::unique_ptr<StringBuffer> message) override {
    Send(Utf8Of(message->string()));
  }
  void flushProtocolNotifications() override {}
  // While it is mute, V8's answers are dropped.
  void Mute(bool is_mute) { is_mute_ = is_mute; }

 private:
  void Send(std::string text) {
    nano_session* session = session_.get();
    std::unique_lock<std::mutex> lock(session->inspector->mutex);
    while (!session->closed && session->out_bytes > kQueueBytesMax) {
      size_t taken = session->taken;
      session->has_room.wait_for(lock, kPatience);
      if (session->taken == taken && session->out_bytes > kQueueBytesMax)
        session->inspector->Close(session);
    }
    if (session->closed) return;
    session->out_bytes += text.size();
    session->out.push_back(std::move(text));
    session->has_message.notify_one();
  }

  const std::shared_ptr<nano_session> session_;
  bool is_mute_ = false;
};

class Dispatching final : public v8::Task {
 public:
  explicit Dispatching(nano_isolate* self) : self_(self) {}
  void Run() override { DispatchInspector(self_); }

 private:
  nano_isolate* const self_;  // its tasks end with it
};

// The scripts of the runtime are not for stepping into. V8 calls that a black box, whose patterns
// are the client's.
constexpr char kBlackbox[] =
    R"({"id":1,"method":"Debugger.setBlackboxPatterns","params":{"patterns":["^nano:"]}})";

// WithBlackbox adds ours to those that a client names. A quotation mark in a string of JSON has a
// backslash before it, so that the text of the method is not found in what is evaluated, say.
std::string WithBlackbox(std::string text) {
  if (text.find(R"("Debugger.setBlackboxPatterns")") == std::string::npos) return text;
  size_t at = text.find(R"("patterns")");
  if (at == std::string::npos || (at = text.find('[', at)) == std::string::npos) return text;
  size_t next = text.find_first_not_of(" \t\r\n", at + 1);
  bool is_alone = next != std::string::npos && text[next] == ']';
  return text.insert(at + 1, is_alone ? R"("^nano:")" : R"("^nano:",)");
}

// Keeps the stack of whoever sets a timer. Functions of this script are not shown: V8 knows scripts
// only that were compiled after it was told of their context.
constexpr char kTrackTimers[] = R"((function (createTask) {
  "use strict";
  const { apply, defineProperty } = Reflect;
  for (const name of ["setTimeout", "setInterval", "queueMicrotask"]) {
    const original = globalThis[name];
    const { [name]: tracked } = {
      [name](callback, ...rest) {
        if (typeof callback !== "function") return apply(original, this, arguments);
        const task = createTask(name);
        return original((...values) => task.run(() => apply(callback, globalThis, values)), ...rest);
      },
    };
    defineProperty(tracked, "length", { value: original.length, configurable: true });
    defineProperty(globalThis, name, { value: tracked, writable: true, enumerable: true, configurable: true });
  }
}))";

// HideRuntime has V8 treat the scripts of the runtime as it treats those of its own inspector: they
// are not shown, and steps do not lead into them. It does so with scripts of a type that only its
// own can have, and asks clients about scripts only that it has compiled for a context that they
// know, which is not so if they came with a snapshot.
void HideRuntime(v8::Isolate* isolate) {
  // class Script of V8 13.6: map, source, name, line_offset, column_offset, context_data,
  // script_type, as compressed pointers and small integers.
  constexpr size_t kContextData = 5, kType = 6;
  constexpr uint32_t kSmiTag = 1, kNormal = 2 << kSmiTag, kInspector = 4 << kSmiTag;
  std::vector<v8::Global<v8::debug::Script>> scripts;
  v8::debug::GetLoadedScripts(isolate, scripts);
  for (const auto& script : scripts) {
    auto tagged = v8::internal::ValueHelper::ValueAsAddress(*script.Get(isolate));
    auto* fields = reinterpret_cast<uint32_t*>(tagged - v8::internal::kHeapObjectTag);
    bool has_context = (fields[kContextData] & kSmiTag) == 0;
    if (!has_context && fields[kType] == kNormal) fields[kType] = kInspector;
  }
}

constexpr const char* kConsoleMethods[] = {
    "assert", "clear",   "count",          "countReset", "debug", "dir", "dirxml",
    "error",  "group",   "groupCollapsed", "groupEnd",   "info",  "log", "table",
    "time",   "timeEnd", "timeLog",        "trace",      "warn",
};

// CallConsoles calls the console of V8, which tells the clients, and ours, which writes the log. It
// is a function of C++, so that the place that they see is that of the app's call.
void CallConsoles(const v8::FunctionCallbackInfo<v8::Value>& info) {
  v8::Isolate* isolate = info.GetIsolate();
  v8::Local<v8::Context> context = isolate->GetCurrentContext();
  v8::LocalVector<v8::Value> arguments(isolate);
  for (int i = 0; i < info.Length(); i++) arguments.push_back(info[i]);
  auto both = info.Data().As<v8::Array>();
  v8::Local<v8::Value> function, result;
  {
    v8::TryCatch caught(isolate);
    if (both->Get(context, 0).ToLocal(&function))
      (void)function.As<v8::Function>()->Call(context, v8::Undefined(isolate), info.Length(),
                                              arguments.data());
  }
  if (both->Get(context, 1).ToLocal(&function) &&
      function.As<v8::Function>()
          ->Call(context, info.This(), info.Length(), arguments.data())
          .ToLocal(&result))
    info.GetReturnValue().Set(result);
}

bool GetObject(v8::Local<v8::Context> context, v8::Local<v8::Object> holder, const char* name,
               v8::Local<v8::Object>* out) {
  v8::Local<v8::Value> value;
  if (!holder->Get(context, OneByte(v8::Isolate::GetCurrent(), name)).ToLocal(&value) ||
      !value->IsObject())
    return false;
  *out = value.As<v8::Object>();
  return true;
}

void JoinConsoles(v8::Local<v8::Context> context, v8::Local<v8::Object> internals) {
  v8::Isolate* isolate = v8::Isolate::GetCurrent();
  v8::Local<v8::Object> extras, its, ours;
  if (!GetObject(context, internals, "extras", &extras) ||
      !GetObject(context, extras, "console", &its) ||
      !GetObject(context, context->Global(), "console", &ours))
    return;
  for (const char* name : kConsoleMethods) {
    v8::Local<v8::Object> one, other;
    v8::Local<v8::Function> joined;
    if (!GetObject(context, its, name, &one) || !one->IsFunction() ||
        !GetObject(context, ours, name, &other) || !other->IsFunction())
      continue;
    v8::Local<v8::Value> both[] = {one, other};
    if (!v8::Function::New(context, CallConsoles, v8::Array::New(isolate, both, 2), 0,
                           v8::ConstructorBehavior::kThrow)
             .ToLocal(&joined))
      return;
    joined->SetName(OneByte(isolate, name));
    (void)ours->Set(context, OneByte(isolate, name), joined);
  }
}

}  // namespace

// Inspection is V8's inspector of an isolate, on its thread.
struct Inspection final : v8_inspector::V8InspectorClient {
  struct Client {
    std::shared_ptr<nano_session> session;
    std::unique_ptr<Channel> channel;
    std::unique_ptr<v8_inspector::V8InspectorSession> v8;
    int dispatching = 0;
    bool closed = false;
  };

  // Unwatched suspends the watchdog, and the loop's clock (nano_shared::paused_ns), for what is
  // done for clients.
  struct Unwatched {
    explicit Unwatched(Inspection* of) : of(of), begun(MonotonicNanoseconds()) {
      if (of->unwatched++ == 0) SuspendWatch();
    }
    ~Unwatched() {
      if (--of->unwatched != 0) return;
      of->self->shared.paused_ns += MonotonicNanoseconds() - begun;
      ResumeWatch(of->self);
    }
    Inspection* const of;
    const int64_t begun;
  };

  Inspection(nano_isolate* self, nano_inspector* shared)
      : self(self), shared(shared), v8(v8_inspector::V8Inspector::create(self->isolate, this)) {}

  // ---- What V8 asks for ----

  void runMessageLoopOnPause(int) override {
    quit = false;
    Wait([this] { return quit || clients_open() == 0 || shared->released; }, shared->pause_max_ns);
    std::lock_guard<std::mutex> lock(shared->mutex);
    if (shared->released) Skip(true);
  }
  void quitMessageLoopOnPause() override { quit = true; }
  void runIfWaitingForDebugger(int) override { waiting = false; }
  v8::Local<v8::Context> ensureDefaultContextInGroup(int) override {
    return self->main()->context.Get(self->isolate);
  }
  double currentTimeMS() override {
    return static_cast<double>(std::chrono::duration_cast<std::chrono::milliseconds>(
                                   std::chrono::system_clock::now().time_since_epoch())
                                   .count());
  }
  std::unique_ptr<StringBuffer> resourceNameToUrl(const StringView& name) override {
    std::string text = Utf8Of(name);
    if (!text.empty() && !text.starts_with("nano:") && text.find("://") == std::string::npos)
      text = (text[0] == '/' ? "file://" : shared->base) + UrlPath(text);
    return StringBuffer::create(View(text));
  }

  // ---- Messages ----

  int clients_open() const {
    return static_cast<int>(std::count_if(clients.begin(), clients.end(),
                                          [](const auto& client) { return !client->closed; }));
  }

  // Skip has V8 not even look for breakpoints, or do so again.
  void Skip(bool skip) {
    skips = skip;
    for (auto& client : clients)
      if (!client->closed) client->v8->setSkipAllPauses(skip);
  }

  // Save keeps the state of a session for the next isolate. What Skip has set is none of the
  // client's.
  void Save(Client* client) {
    if (skips) client->v8->setSkipAllPauses(false);
    client->session->state = client->v8->state();
    if (skips) client->v8->setSkipAllPauses(true);
  }

  void Connect(const std::shared_ptr<nano_session>& session) {
    auto client = std::make_unique<Client>();
    client->session = session;
    client->channel = std::make_unique<Channel>(session);
    const std::vector<uint8_t>& state = session->state;
    client->v8 = v8->connect(kGroup, client->channel.get(), StringView(state.data(), state.size()),
                             v8_inspector::V8Inspector::kFullyTrusted,
                             waiting ? v8_inspector::V8Inspector::kWaitingForDebugger
                                     : v8_inspector::V8Inspector::kNotWaitingForDebugger);
    clients.push_back(std::move(client));
  }

  Client* Find(const nano_session* session) {
    for (auto& client : clients)
      if (client->session.get() == session && !client->closed) return client.get();
    return nullptr;
  }

  // A client whose message is being handled further down the stack is freed when that returns.
  void Disconnect(Client* client) {
    client->closed = true;
    if (client->dispatching == 0)
      std::erase_if(clients, [=](const auto& each) { return each.get() == client; });
  }

  void Handle(const nano_inspector::Incoming& incoming) {
    v8::HandleScope handles(self->isolate);
    Client* client = Find(incoming.session.get());
    switch (incoming.what) {
      case nano_inspector::kOpen:
        if (client == nullptr) Connect(incoming.session);
        return;
      case nano_inspector::kClose:
        if (client != nullptr) Disconnect(client);
        return;
      case nano_inspector::kMessage:
        if (client == nullptr) return;
        client->dispatching++;
        client->v8->dispatchProtocolMessage(Utf16(WithBlackbox(incoming.text)).view());
        // Clients that never name any patterns get ours with the domain.
        if (incoming.text.find(R"("Debugger.enable")") != std::string::npos && !client->closed) {
          client->channel->Mute(true);
          client->v8->dispatchProtocolMessage(View(kBlackbox));
          client->channel->Mute(false);
        }
        client->dispatching--;
        if (client->closed)
          Disconnect(client);
        else
          Save(client);
    }
  }

  // Take gives the next message that came in; false: there is none.
  bool Take(nano_inspector::Incoming* incoming) {
    if (shared->in.empty()) return false;
    *incoming = std::move(shared->in.front());
    shared->in.pop_front();
    incoming->session->in_bytes -= incoming->text.size();
    return true;
  }

  void Dispatch() {
    nano_inspector::Incoming incoming;
    if (skips) {
      std::lock_guard<std::mutex> lock(shared->mutex);
      if (!shared->released) Skip(false);
    }
    for (;;) {
      {
        std::lock_guard<std::mutex> lock(shared->mutex);
        if (IsDead(self) || !Take(&incoming)) return;
      }
      Unwatched unwatched(this);
      v8::HandleScope handles(self->isolate);
      v8::Context::Scope scope(self->main()->context.Get(self->isolate));
      Handle(incoming);
    }
  }

  // Wait handles messages until it is done: the node ends, say, or the client wishes so.
  template <typename Done>
  void Wait(Done&& done, int64_t limit_ns) {
    Unwatched unwatched(this);
    auto deadline = std::chrono::steady_clock::now() + std::chrono::nanoseconds(limit_ns);
    nano_inspector::Incoming incoming;
    std::unique_lock<std::mutex> lock(shared->mutex);
    while (!done() && !shared->stopped && !IsDead(self)) {
      if (Take(&incoming)) {
        lock.unlock();
        Handle(incoming);
        incoming = {};
        lock.lock();
        continue;
      }
      shared->waits = true;
      if (limit_ns == 0)
        shared->news.wait(lock);
      else if (shared->news.wait_until(lock, deadline) == std::cv_status::timeout)
        break;
    }
    shared->waits = false;
  }

  nano_isolate* const self;
  nano_inspector* const shared;
  std::unique_ptr<v8_inspector::V8Inspector> v8;
  std::vector<std::unique_ptr<Client>> clients;
  bool quit = false;     // the pause is over
  bool waiting = false;  // for a client to say that the app may start
  bool skips = false;    // no breakpoint counts
  int unwatched = 0;
};

void DispatchInspector(nano_isolate* self) {
  if (self->inspection != nullptr) self->inspection->Dispatch();
}

void DetachInspector(nano_isolate* self) {
  Inspection* inspection = self->inspection;
  if (inspection == nullptr) return;
  {
    std::lock_guard<std::mutex> lock(inspection->shared->mutex);
    nano_inspector* shared = inspection->shared;
    if (shared->claimed == self) shared->claimed = nullptr;
    shared->isolate = nullptr;
    shared->waits = false;
  }
  self->inspection = nullptr;
  if (self->abandoned)
    return;  // its heap must not be looked at: what V8 has for its clients is leaked
  v8::Isolate::Scope scope(self->isolate);
  v8::HandleScope handles(self->isolate);
  for (auto& realm : self->realms)
    if (realm) inspection->v8->contextDestroyed(realm->context.Get(self->isolate));
  for (auto& client : inspection->clients)
    if (!client->closed) inspection->Save(client.get());
  inspection->clients.clear();
  delete inspection;
}

bool AttachInspector(nano_isolate* self, nano_inspector* shared) {
  nano_isolate* before;
  {
    std::lock_guard<std::mutex> lock(shared->mutex);
    before = shared->claimed;
    // Another thread's isolate cannot be detached from here.
    if (shared->stopped || (before != nullptr && before->owner != self->owner)) return false;
    shared->claimed = self;  // two loops may start the app at once
  }
  if (before != nullptr) DetachInspector(before);
  v8::Isolate::Scope scope(self->isolate);
  v8::HandleScope handles(self->isolate);
  self->inspection = new Inspection(self, shared);
  self->inspection->waiting =
      shared->breaks;  // a client may say that it is ready before the app is
  return true;
}

void ConnectInspector(nano_isolate* self) {
  nano_inspector* shared = self->inspection->shared;
  std::vector<std::shared_ptr<nano_session>> sessions;
  {
    std::lock_guard<std::mutex> lock(shared->mutex);
    shared->isolate = self;
    shared->released = false;  // this was for the isolate before
    sessions = shared->sessions;
    if (!shared->in.empty()) shared->Wake();  // it came while there was no isolate
  }
  v8::Isolate::Scope scope(self->isolate);
  v8::HandleScope handles(self->isolate);
  for (auto& session : sessions) self->inspection->Connect(session);
}

void InspectRealm(nano_realm* realm, v8::Local<v8::Context> context) {
  nano_isolate* self = realm->owner;
  v8::Isolate* isolate = self->isolate;
  v8::Context::Scope scope(context);
  v8::TryCatch caught(isolate);
  v8::Local<v8::Value> track, create_task;
  v8::Local<v8::Object> console;
  v8::ScriptOrigin origin(OneByte(isolate, "nano:inspector"));
  v8::ScriptCompiler::Source source(OneByte(isolate, kTrackTimers), origin);
  v8::Local<v8::Script> script;
  bool compiled = v8::ScriptCompiler::Compile(context, &source).ToLocal(&script) &&
                  script->Run(context).ToLocal(&track);
  HideRuntime(isolate);
  v8_inspector::V8ContextInfo info(context, kGroup, View("nano"));
  info.auxData = View(realm->id == 0 ? R"({"isDefault":true})" : R"({"isDefault":false})");
  self->inspection->v8->contextCreated(info);
  if (compiled && GetObject(context, context->Global(), "console", &console) &&
      console->Get(context, OneByte(isolate, "createTask")).ToLocal(&create_task) &&
      create_task->IsFunction())
    (void)track.As<v8::Function>()->Call(context, v8::Undefined(isolate), 1, &create_task);
  JoinConsoles(context, realm->internals.Get(isolate));
}

void ForgetRealm(nano_realm* realm, v8::Local<v8::Context> context) {
  if (realm->owner->inspection != nullptr) realm->owner->inspection->v8->contextDestroyed(context);
}

void BreakAtStart(nano_isolate* self) {
  Inspection* inspection = self->inspection;
  if (!inspection->shared->breaks) return;
  inspection->shared->breaks = false;
  inspection->Wait([=] { return !inspection->waiting; }, 0);
  inspection->waiting = false;
  for (auto& client : inspection->clients)
    if (!client->closed)
      client->v8->schedulePauseOnNextStatement(View("Break on start"), View("{}"));
}

void TellUncaught(nano_isolate* self, v8::Local<v8::Value> described) {
  v8::Isolate* isolate = self->isolate;
  v8::HandleScope handles(isolate);
  v8::String::Utf8Value text(isolate, described);
  std::string url = *text == nullptr ? "" : PlaceIn(std::string_view(*text, text.length()));
  unsigned line = 0, column = 0;
  for (unsigned* number : {&column, &line}) {  // "file:line:column"
    size_t colon = url.rfind(':');
    if (colon == std::string::npos) break;
    *number = static_cast<unsigned>(strtoul(url.c_str() + colon + 1, nullptr, 10));
    url.resize(colon);
  }
  std::unique_ptr<StringBuffer> full = self->inspection->resourceNameToUrl(Utf16(url).view());
  self->inspection->v8->exceptionThrown(isolate->GetCurrentContext(), View("Uncaught"), described,
                                        View("Uncaught"), full ? full->string() : Utf16(url).view(),
                                        line, column, nullptr, 0);
}

}  // namespace nano

void nano_inspector::Wake() {
  if (isolate == nullptr) return;
  news.notify_all();
  if (waits) return;
  isolate->isolate->RequestInterrupt(
      [](v8::Isolate*, void* data) { nano::DispatchInspector(static_cast<nano_isolate*>(data)); },
      isolate);
  nano::PostTask(*isolate->tasks, std::make_unique<nano::Dispatching>(isolate));
}

using namespace nano;

nano_inspector* nano_inspector_new(nano_bytes base, int breaks, int64_t pause_max_ms) {
  auto* inspector = new nano_inspector;
  inspector->base.assign(base.data, base.length);
  inspector->breaks = breaks != 0;
  inspector->pause_max_ns = pause_max_ms * 1000000;
  return inspector;
}

void nano_inspector_stop(nano_inspector* inspector) {
  std::lock_guard<std::mutex> lock(inspector->mutex);
  inspector->stopped = true;
  for (auto& session : inspector->sessions) {
    inspector->Close(session.get());
    inspector->in.push_back({nano_inspector::kClose, session, {}});
  }
  inspector->sessions.clear();
  inspector->Wake();
}

void nano_inspector_release(nano_inspector* inspector, int is_released) {
  std::lock_guard<std::mutex> lock(inspector->mutex);
  inspector->released = is_released != 0;
  inspector->Wake();
}

nano_session* nano_session_open(nano_inspector* inspector) {
  std::lock_guard<std::mutex> lock(inspector->mutex);
  if (inspector->stopped || inspector->sessions.size() >= kSessionsMax) return nullptr;
  auto session = std::make_shared<nano_session>(inspector);
  inspector->sessions.push_back(session);
  inspector->in.push_back({nano_inspector::kOpen, session, {}});
  inspector->Wake();
  session->held = session;
  return session.get();
}

int nano_session_send(nano_session* session, nano_bytes message) {
  nano_inspector* inspector = session->inspector;
  std::lock_guard<std::mutex> lock(inspector->mutex);
  if (session->closed || session->in_bytes + message.length > kQueueBytesMax) return -1;
  session->in_bytes += message.length;
  inspector->in.push_back(
      {nano_inspector::kMessage, session->held, std::string(message.data, message.length)});
  inspector->Wake();
  return 0;
}

int nano_session_receive(nano_session* session, nano_bytes* message) {
  std::string text;
  {
    std::unique_lock<std::mutex> lock(session->inspector->mutex);
    session->has_message.wait(lock, [=] { return session->closed || !session->out.empty(); });
    if (session->out.empty()) return -1;
    text = std::move(session->out.front());
    session->out.pop_front();
    session->out_bytes -= text.size();
    session->taken++;
    session->has_room.notify_all();
  }
  *message = {CopyOut(text), text.size()};
  return 0;
}

void nano_session_close(nano_session* session) {
  nano_inspector* inspector = session->inspector;
  std::lock_guard<std::mutex> lock(inspector->mutex);
  inspector->Close(session);
  auto is_it = [=](const auto& each) { return each.get() == session; };
  if (std::erase_if(inspector->sessions, is_it) == 0) return;
  inspector->in.push_back({nano_inspector::kClose, session->held, {}});
  inspector->Wake();
}

void nano_session_free(nano_session* session) {
  std::shared_ptr<nano_session> last = std::move(session->held);
}
