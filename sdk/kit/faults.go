// SPDX-License-Identifier: Apache-2.0

package kit

// Fault is a fault of a host that the kit can seed between itself and the host,
// to show that it would be seen: Options.Fault.
type Fault struct {
	Number int
	What   string
}

// Faults returns the faults that guest/guest.wat knows.
func Faults() []Fault {
	return []Fault{
		{1, "a length is one too long"},
		{2, "a length is told and nothing written"},
		{3, "a part of what does not fit is written"},
		{4, "the length is no more than there is room for"},
		{5, "not found is denied"},
		{6, "denied is not found"},
		{7, "a wrong phase is nothing"},
		{8, "a limit is nothing"},
		{9, "a conflict is nothing"},
		{10, "a pointer outside of memory does not trap"},
		{11, "a number is big-endian"},
		{12, "ids and handles are given twice"},
		{13, "an absent number is 0"},
		{14, "octets are written one too far"},
		{15, "what is not supported is not found"},
		{16, "a bad argument is nothing"},
	}
}
