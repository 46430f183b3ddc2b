// SPDX-License-Identifier: Apache-2.0

package tlsconf

import (
	"github.com/hashicorp/go-hclog"
	"go.uber.org/zap/zapcore"
)

// zapCore hands what certmagic logs to our log. Its informations are debugging to
// us: what an operator has to know is that a certificate came, or did not.
type zapCore struct{ logger hclog.Logger }

// Enabled implements zapcore.LevelEnabler.
func (z zapCore) Enabled(l zapcore.Level) bool { return levelOf(l) >= z.logger.GetLevel() }

// With implements zapcore.Core.
func (z zapCore) With(fields []zapcore.Field) zapcore.Core {
	return zapCore{z.logger.With(keyed(fields)...)}
}

// Check implements zapcore.Core.
func (z zapCore) Check(e zapcore.Entry, c *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if z.Enabled(e.Level) {
		return c.AddCore(e, z)
	}
	return c
}

// Write implements zapcore.Core.
func (z zapCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	z.logger.Log(levelOf(e.Level), e.Message, keyed(fields)...)
	return nil
}

// Sync implements zapcore.Core.
func (zapCore) Sync() error { return nil }

func levelOf(l zapcore.Level) hclog.Level {
	switch {
	case l >= zapcore.ErrorLevel:
		return hclog.Error
	case l == zapcore.WarnLevel:
		return hclog.Warn
	}
	return hclog.Debug
}

func keyed(fields []zapcore.Field) []any {
	m := zapcore.NewMapObjectEncoder()
	for _, f := range fields {
		f.AddTo(m)
	}
	var all []any
	for _, f := range fields {
		all = append(all, f.Key, m.Fields[f.Key])
	}
	return all
}
