// V8 from process start: initialisation, and what all isolates of the process share.
#include "engine.h"

#include <malloc.h>
#include <sys/random.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "ops.h"

namespace nano {

namespace {

std::vector<std::unique_ptr<Script>> scripts;
std::vector<intptr_t> external_references;
std::shared_ptr<v8::ArrayBuffer::Allocator> array_buffers;
v8::Isolate* sealing_isolate = nullptr;

thread_local bool deterministic = false;

bool Entropy(unsigned char* buffer, size_t length) {
  if (deterministic) {
    memset(buffer, 42, length);
    return true;
  }
  return getrandom(buffer, length, 0) == static_cast<ssize_t>(length);
}

const char* Checked(nano_bytes op_names) {
  std::string_view rest(op_names.data, op_names.length);
  for (size_t i = 0; i < kOpCount; i++) {
    size_t end = rest.find('\n');
    if (rest.substr(0, end) != kOps[i].name)
      return "the op table of webapi differs from the one in the C++ shim";
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
  }
  return rest.empty() ? nullptr : "the op table of webapi is longer than the one in the C++ shim";
}

}  // namespace

Deterministic::Deterministic() { deterministic = true; }
Deterministic::~Deterministic() { deterministic = false; }
bool Deterministic::Active() { return deterministic; }

void Fatal(const char* location, const char* message) {
  fprintf(stderr, "nano: V8: %s: %s\n", location, message);
  abort();
}

v8::Isolate* SealingIsolate() { return sealing_isolate; }

const std::vector<intptr_t>& ExternalReferences() { return external_references; }

v8::Isolate::CreateParams Parameters(const v8::StartupData* blob) {
  v8::Isolate::CreateParams parameters;
  parameters.array_buffer_allocator_shared = array_buffers;
  parameters.external_references = external_references.data();
  parameters.snapshot_blob = blob;
  parameters.allow_atomics_wait = false;  // it would block the loop
  parameters.oom_error_callback = OnOutOfMemory;
  parameters.fatal_error_callback = OnFatal;
  return parameters;
}

Output::~Output() { free(data_); }

uint8_t* Output::Reserve(size_t n) {
  if (capacity_ - length_ < n) {
    size_t wanted = capacity_ ? capacity_ * 2 : 2048;
    while (wanted - length_ < n) wanted *= 2;
    if (limit_ != 0 && n > 2 * limit_ - std::min(2 * limit_, total()))
      OutOfMemory("a turn's output");
    auto* grown = static_cast<uint8_t*>(realloc(data_, wanted));
    if (grown == nullptr) OutOfMemory("a turn's output");
    data_ = grown;
    capacity_ = wanted;
  }
  return data_ + length_;
}

uint8_t* Output::Block(size_t n) {
  bool fits = limit_ == 0 || n <= 2 * limit_ - std::min(2 * limit_, total());
  block_ = fits ? static_cast<uint8_t*>(malloc(n)) : nullptr;
  if (block_ == nullptr) OutOfMemory("a large body");
  return block_;
}

void Output::DropBlock() {
  free(block_);
  block_ = nullptr;
}

void Output::Finish(size_t block_bytes) {
  finished_ = length_;
  blocks_ += block_bytes;
  block_ = nullptr;
}

void Output::Truncate() {
  length_ = finished_;
  DropBlock();
}

void Output::Clear() {
  length_ = finished_ = blocks_ = logged = 0;
  if (capacity_ > size_t{1} << 20) Rest();
}

void Output::Rest() {
  length_ = finished_ = blocks_ = logged = 0;
  free(data_);
  data_ = nullptr;
  capacity_ = 0;
}

void Output::Discard() {
  for (size_t at = 0; at < finished_;) {
    const auto* record = reinterpret_cast<const nano_record*>(data_ + at);
    at += record->size;
    free(record->block);
  }
  DropBlock();
  Clear();
}

void Output::Swap(Output& other) {
  std::swap(logged, other.logged);
  std::swap(data_, other.data_);
  std::swap(length_, other.length_);
  std::swap(capacity_, other.capacity_);
  std::swap(limit_, other.limit_);
  std::swap(finished_, other.finished_);
  std::swap(blocks_, other.blocks_);
  std::swap(block_, other.block_);
}

const std::vector<std::unique_ptr<Script>>& Scripts() { return scripts; }

const Script* FindScript(std::string_view name) {
  for (const auto& script : scripts)
    if (script->name == name) return script.get();
  return nullptr;
}

void Script::Keep(std::unique_ptr<v8::ScriptCompiler::CachedData> cache) const {
  const v8::ScriptCompiler::CachedData* none = nullptr;
  if (cache != nullptr && cache_.compare_exchange_strong(none, cache.get())) (void)cache.release();
}

v8::MaybeLocal<v8::Function> CompileScript(v8::Local<v8::Context> context, const Script& script,
                                           bool use_cache) {
  v8::Isolate* isolate = context->GetIsolate();
  v8::Local<v8::String> text;
  if (!v8::String::NewExternalOneByte(isolate, const_cast<Script*>(&script)).ToLocal(&text))
    return {};
  v8::ScriptOrigin origin(OneByte(isolate, "nano:" + script.name));
  const v8::ScriptCompiler::CachedData* kept = use_cache ? script.cache() : nullptr;
  auto* cache = kept == nullptr ? nullptr  // else the source owns it
                                : new v8::ScriptCompiler::CachedData(kept->data, kept->length);
  v8::ScriptCompiler::Source source(text, origin, cache);
  v8::Local<v8::Script> compiled;
  v8::Local<v8::Value> function;
  auto options = cache == nullptr ? v8::ScriptCompiler::kNoCompileOptions
                                  : v8::ScriptCompiler::kConsumeCodeCache;
  if (!v8::ScriptCompiler::Compile(context, &source, options).ToLocal(&compiled) ||
      !compiled->Run(context).ToLocal(&function) || !function->IsFunction())
    return {};
  if (use_cache && cache == nullptr)
    nano_isolate::From(isolate)->first_run.emplace_back(
        &script, v8::Global<v8::UnboundScript>(isolate, compiled->GetUnboundScript()));
  return function.As<v8::Function>();
}

void KeepCaches(nano_isolate* self) {
  for (auto& [script, ran] : self->first_run) {
    if (script->cache() != nullptr) continue;
    v8::HandleScope handles(self->isolate);
    script->Keep(std::unique_ptr<v8::ScriptCompiler::CachedData>(
        v8::ScriptCompiler::CreateCodeCache(ran.Get(self->isolate))));
  }
  self->first_run.clear();
}

std::string PlaceOf(v8::Isolate* isolate, v8::Local<v8::StackTrace> stack) {
  for (int i = 0; i < stack->GetFrameCount(); i++) {
    v8::Local<v8::StackFrame> frame = stack->GetFrame(isolate, static_cast<uint32_t>(i));
    v8::String::Utf8Value name(isolate, frame->GetScriptName());
    if (*name == nullptr || name.length() == 0 || strncmp(*name, "nano:", 5) == 0) continue;
    return PlaceText(isolate, {*name, static_cast<size_t>(name.length())}, frame->GetLineNumber(),
                     frame->GetColumn());
  }
  return "";
}

// The text is "Error: …\n    at name (file:line:column)\n    at async file:…".
std::string PlaceIn(std::string_view stack) {
  constexpr std::string_view kFrame = "\n    at ", kAsync = "async ";
  auto ends_with_number = [](std::string_view* text) {
    size_t end = text->find_last_not_of("0123456789");
    if (end == text->npos || end + 1 == text->size() || (*text)[end] != ':') return false;
    *text = text->substr(0, end);
    return true;
  };
  for (size_t at = stack.find(kFrame); at != std::string_view::npos; at = stack.find(kFrame, at)) {
    at += kFrame.size();
    std::string_view frame = stack.substr(at, stack.find('\n', at) - at);
    if (frame.ends_with(')')) {
      frame.remove_suffix(1);
      frame = frame.substr(frame.rfind('(') + 1);
    } else if (frame.starts_with(kAsync)) {
      frame.remove_prefix(kAsync.size());
    }
    std::string_view file = frame;
    if (!frame.starts_with("nano:") && ends_with_number(&file) && ends_with_number(&file))
      return std::string(frame);
  }
  return "";
}

std::string Describe(v8::Isolate* isolate, v8::Local<v8::Context> context, v8::TryCatch& caught) {
  if (caught.HasTerminated()) return "terminated: a limit was reached while the app started";
  if (!caught.HasCaught()) return "unknown error";
  v8::String::Utf8Value text(isolate, caught.Exception());
  std::string described = *text ? std::string(*text, text.length()) : "unprintable exception";
  v8::Local<v8::Message> message = caught.Message();
  if (message.IsEmpty()) return described;
  // A module that throws what is no Error leaves neither stack nor place.
  if (!message->GetScriptResourceName()->IsString()) return described;
  v8::String::Utf8Value file(isolate, message->GetScriptResourceName());
  if (strncmp(*file, "nano:", 5) == 0) {
    // The runtime has thrown it: the place is that of the app's call.
    std::string place;
    v8::Local<v8::Value> stack;
    if (caught.StackTrace(context).ToLocal(&stack) && stack->IsString())
      place = PlaceIn(*v8::String::Utf8Value(isolate, stack));
    return place.empty() ? described : place + ": " + described;
  }
  return PlaceText(isolate, {*file, static_cast<size_t>(file.length())},
                   message->GetLineNumber(context).FromMaybe(0),
                   message->GetStartColumn(context).FromMaybe(-1) + 1) +
         ": " + described;
}

char* CopyOut(std::string_view text) {
  char* copy = static_cast<char*>(malloc(text.size() + 1));
  if (copy == nullptr) Fatal("CopyOut", "out of memory");
  memcpy(copy, text.data(), text.size());
  copy[text.size()] = 0;
  return copy;
}

}  // namespace nano

using namespace nano;

const char* nano_start(const nano_script* list, size_t count, nano_bytes op_names,
                       nano_bytes host_names, nano_bytes flags) {
  static const std::string header_version =
      std::to_string(V8_MAJOR_VERSION) + "." + std::to_string(V8_MINOR_VERSION) + "." +
      std::to_string(V8_BUILD_NUMBER) + "." + std::to_string(V8_PATCH_LEVEL);
  if (std::string_view(v8::V8::GetVersion()).substr(0, header_version.size()) != header_version)
    return "the V8 library is not of the version of its headers";
  if (const char* problem = Checked(op_names)) return problem;
  SetHostNames(host_names);
  for (size_t i = 0; i < count; i++) scripts.push_back(std::make_unique<Script>(list[i]));
  for (size_t i = 0; i < kOpCount; i++)
    external_references.push_back(reinterpret_cast<intptr_t>(kOps[i].callback));
  external_references.push_back(reinterpret_cast<intptr_t>(OnMessage));
  external_references.push_back(reinterpret_cast<intptr_t>(ops::ReadLazyGlobal));
  external_references.push_back(reinterpret_cast<intptr_t>(ReadTrap));
  external_references.push_back(reinterpret_cast<intptr_t>(CallHost));
  for (const auto& script : scripts)
    external_references.push_back(reinterpret_cast<intptr_t>(script.get()));
  for (size_t i = 0; i < kOpCount; i++) {
    const v8::CFunction* fast = FastCall(kOps[i]);
    if (fast == nullptr) continue;
    external_references.push_back(reinterpret_cast<intptr_t>(fast->GetAddress()));
    external_references.push_back(reinterpret_cast<intptr_t>(fast->GetTypeInfo()));
  }
  external_references.push_back(0);

  Clock::Calibrate();
  v8::V8::SetFlagsFromString(flags.data, flags.length);
  v8::V8::SetEntropySource(Entropy);
  static std::unique_ptr<v8::Platform> platform = NewPlatform();
  v8::V8::InitializePlatform(platform.get());
  v8::V8::Initialize();
  InstallFatalHandler();
  // Large bodies come and go: keep their memory instead of faulting it in again each time.
  mallopt(M_MMAP_THRESHOLD, 4 << 20);
  mallopt(M_TRIM_THRESHOLD, 16 << 20);
  array_buffers.reset(v8::ArrayBuffer::Allocator::NewDefaultAllocator());

  // All isolates of a process share the read-only heap that the first one brings. It must be V8's
  // own, or blobs built here and elsewhere do not fit together: a plain isolate first, kept.
  v8::Isolate::CreateParams parameters;
  parameters.array_buffer_allocator_shared = array_buffers;
  sealing_isolate = v8::Isolate::Allocate();
  SealTasks(sealing_isolate);
  v8::Isolate::Initialize(sealing_isolate, parameters);
  v8::Isolate::Scope scope(sealing_isolate);
  v8::HandleScope handles(sealing_isolate);
  v8::Local<v8::Context> context = v8::Context::New(sealing_isolate);
  TasksSealed();
  KeepPages(sealing_isolate);
  json::Prepare(sealing_isolate, context);
  json::PrepareStringify(sealing_isolate, context);
  Clock::Calibrate();
  return nullptr;
}

int nano_json_does_as_v8(void) { return json::ParsesAsV8() && json::StringifiesAsV8(); }

const char* nano_version(void) { return v8::V8::GetVersion(); }

uint32_t nano_version_tag(void) { return v8::ScriptCompiler::CachedDataVersionTag(); }

void nano_free(void* memory) { free(memory); }
