// SPDX-License-Identifier: Apache-2.0

package delivery

// limits are what a host says that one transaction may have (RFC 9422); 0 is no
// limit.
type limits struct{ rcpts, domains int }

func limitsOf(c Conn) limits {
	l, ok := c.(LimitedConn)
	if !ok {
		return limits{}
	}
	rcpts, domains := l.Limits()
	return limits{rcpts, domains}
}

// of returns how many recipients of t one transaction takes, at most most and at
// least one.
func (l limits) of(t *task, most int) int {
	if l.rcpts > 0 {
		most = min(most, l.rcpts)
	}
	if l.domains == 0 {
		return most
	}
	seen := map[string]bool{}
	for i, r := range t.rcpts[:min(most, len(t.rcpts))] {
		if seen[t.msg.Envelope().Recipients[r].Address.Domain()] = true; len(seen) > l.domains {
			return i
		}
	}
	return most
}
