package room

import (
	"strconv"
	"testing"
)

func TestBlobsAreBounded(t *testing.T) {
	var b blobs
	if b.put("k", make([]byte, maxBlob+1)) || b.put(string(make([]byte, maxBlobKey+1)), nil) {
		t.Error("took what is too large")
	}
	n := 0
	for b.put(strconv.Itoa(n), make([]byte, maxBlob)) {
		n++
	}
	if n != 7 || b.bytes > maxBlobBytes {
		t.Errorf("%d blobs, %d bytes", n, b.bytes)
	}
	// Another for the same key takes the place of the first.
	for range 100 {
		if !b.put("0", make([]byte, 10)) {
			t.Fatal("no room for less")
		}
	}
	if want := 6*(maxBlob+1) + 10 + 1; b.bytes != want {
		t.Errorf("%d bytes, want %d", b.bytes, want)
	}
	var many blobs
	for n = 0; many.put(strconv.Itoa(n), nil); n++ {
	}
	if n != maxBlobs {
		t.Errorf("%d blobs, want %d", n, maxBlobs)
	}
}
