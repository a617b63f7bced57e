// V8's baseline compiler, which makes machine code of functions that have run often, does not while
// a snapshot is built. V8 drops the bytecode of functions that have not run for long, which is how
// what only the top level needs gets out of a snapshot (see kFlushRounds), but never that of
// functions with baseline code. No snapshot holds baseline code anyway.
#include "engine.h"

namespace nano::baseline {

#define NANO_ENQUEUE                                                  \
  "_ZN2v88internal8baseline21BaselineBatchCompiler15EnqueueFunctionE" \
  "NS0_12DirectHandleINS0_10JSFunctionEEE"

void RealEnqueue(void* compiler, void* function) asm("__real_" NANO_ENQUEUE);
void Enqueue(void* compiler, void* function) asm("__wrap_" NANO_ENQUEUE);

// Enqueue stands for what V8 does with a function that has become worth compiling.
void Enqueue(void* compiler, void* function) {
  if (!Deterministic::Active()) RealEnqueue(compiler, function);
}

}  // namespace nano::baseline
