// SPDX-License-Identifier: Apache-2.0

package control

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// errorTrailer says behind an export that it is not whole.
const errorTrailer = "X-Postroad-Error"

// maxHead is the longest line in front of an import, in octets.
const maxHead = 64 << 10

// serveExport streams an export. An error that comes behind its first octets is
// in the trailer; besides, the export has no end line then.
func serveExport(s Service, w http.ResponseWriter, r *http.Request) {
	var a ExportAction
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest)).Decode(&a); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Trailer", errorTrailer)
	if err := s.Export(r.Context(), a, w); err != nil {
		w.Header().Set(errorTrailer, oneLine(err.Error()))
	}
}

func oneLine(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c < ' ' || c == 0x7f {
			b[i] = ' '
		}
	}
	return string(b)
}

// serveImport reads a line of JSON and the export behind it, which may be long
// and take its time.
func serveImport(s Service, w http.ResponseWriter, r *http.Request) {
	if err := http.NewResponseController(w).SetReadDeadline(time.Time{}); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	in := bufio.NewReaderSize(r.Body, maxHead)
	var a ImportAction
	head, err := in.ReadSlice('\n')
	if err == nil {
		err = json.Unmarshal(head, &a)
	}
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = fmt.Errorf("import without a first line: %w", err)
		}
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	done, err := s.Import(r.Context(), a, in)
	answer(w, done, err)
}
