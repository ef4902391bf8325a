package graph

import "sync"

// buffers are for JSON that comes and goes with a request.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// maxBuffer is the capacity in bytes beyond which a buffer is not kept: that of a page of a thousand rows or so.
const maxBuffer = 256 << 10

func takeBuffer() *[]byte { return buffers.Get().(*[]byte) }

// keepBuffer keeps a buffer for the next request, with what it has grown to. Nothing may point into it any more.
func keepBuffer(buffer *[]byte, grown []byte) {
	if cap(grown) <= maxBuffer {
		*buffer = grown
		buffers.Put(buffer)
	}
}
