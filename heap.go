package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// heapFloor is how many bytes the heap may grow to before garbage is looked for. Go's own floor of 4 MB makes a server of
// small requests look some 20 times a second, which is an eighth of its processor time. A heap of which half the floor is
// in use doubles between two collections as ever, so that the most memory that is taken under load stays what it is.
const heapFloor = 24 << 20

// keepHeapFloor sees to the floor, for as long as the process runs, unless GOGC says otherwise.
func keepHeapFloor() {
	if os.Getenv("GOGC") == "" {
		afterCollection()
	}
}

// afterCollection sets how much the heap may grow by what is in use now, and has itself called after the next collection.
func afterCollection() {
	inUse := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}, {Name: "/gc/scan/globals:bytes"}}
	metrics.Read(inUse)
	live := float64(inUse[0].Value.Uint64())
	roots := float64(inUse[1].Value.Uint64() + inUse[2].Value.Uint64()) // which Go lets the heap grow by too
	debug.SetGCPercent(int(min(max(100*(heapFloor-live)/(live+roots+1), 100), 500)))
	runtime.AddCleanup(new([64]byte), func(struct{}) { afterCollection() }, struct{}{})
}
