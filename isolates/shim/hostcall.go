package shim

/*
#cgo noescape nano_host_block
#cgo nocallback nano_host_block
#include "shim.h"
*/
import "C"

import (
	"unsafe"

	"nano/hostcall"
)

// The Go mirrors of C structs have their sizes.
var (
	_ [unsafe.Sizeof(hostcall.Value{})]byte = [unsafe.Sizeof(C.nano_value{})]byte{}
	_ [unsafe.Sizeof(hostcall.Frame{})]byte = [unsafe.Sizeof(C.nano_call{})]byte{}
)

// nanoHostCall is what C++ calls for JavaScript, in the middle of a turn. It must not call into the isolate.
//
//export nanoHostCall
func nanoHostCall(call *C.nano_call) {
	hostcall.Serve((*hostcall.Frame)(unsafe.Pointer(call)), hostBlock)
}

// hostBlock is the hostcall.Allocate of all isolates.
func hostBlock(isolate unsafe.Pointer, n int) []byte {
	data := C.nano_host_block((*C.nano_isolate)(isolate), C.size_t(n))
	if data == nil {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(data)), n)
}

// HostObjects are what the host objects of the isolate stand for.
func (i Isolate) HostObjects() *hostcall.Objects {
	slot := (*unsafe.Pointer)(unsafe.Pointer(C.nano_isolate_objects(i.pointer)))
	if *slot == nil {
		*slot = unsafe.Pointer(hostcall.NewObjects())
	}
	return (*hostcall.Objects)(*slot)
}
