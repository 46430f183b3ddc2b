// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"slices"
	"time"

	"github.com/postroad-mail/postroad/core/mail"
)

// schedule reads the times of a route or of a class.
func (d *decoder) schedule(n *node) Schedule {
	s := Schedule{
		Retry: arg[[]time.Duration](n, "retry"), Jitter: arg[float64](n, "jitter"),
		Expire: arg[time.Duration](n, "expire"), DelayWarning: arg[time.Duration](n, "delay_warning"),
	}
	if n.has("retry") && len(s.Retry) == 0 {
		d.fault(n.args["retry"].rng, "retry is empty", "expected at least one time, such as [\"1m\", \"1h\"]")
	}
	return s
}

// classes reads the classes of a route.
func (d *decoder) classes(route *node) (cs []Class) {
	nodes, left := route.children("class"), 2*mail.MaxPriority+1
	for _, n := range nodes {
		if c := d.class(route, n); d.checkClass(n, c, cs) {
			cs = append(cs, c)
			left -= c.Highest - c.Lowest + 1
		}
	}
	if left == 0 {
		d.checkTimes(route, nodes)
	}
	return cs
}

// checkTimes warns of times of a route that no mail has, since its classes
// are for all priorities.
func (d *decoder) checkTimes(route *node, classes []*node) {
	for _, name := range times() {
		if route.has(name) && !slices.ContainsFunc(classes, func(c *node) bool { return !c.has(name) }) {
			d.warn(route.args[name].rng, fmt.Sprintf("no mail goes by this %s: the classes of the route are for all priorities, and each has its own", name), "remove it")
		}
	}
}

// times are the arguments of a route that its classes may have too.
func times() []string { return []string{"retry", "jitter", "expire", "delay_warning"} }

// class reads a class of a route. What it leaves out is the route's.
func (d *decoder) class(route, n *node) Class {
	for _, name := range times() {
		if _, given := n.args[name]; !given && route.args[name].v != nil {
			n.set(name, route.args[name].v)
		}
	}
	return Class{
		Name: n.name(), Schedule: d.schedule(n), Pos: d.pos(n.rng),
		Lowest: int(arg[int64](n, "lowest")), Highest: int(arg[int64](n, "highest")),
	}
}

// checkClass refuses a class that no mail is in, or all, or mail of another one.
func (d *decoder) checkClass(n *node, c Class, others []Class) (ok bool) {
	switch {
	case n.args["lowest"].v == nil || n.args["highest"].v == nil: // reported already
		return false
	case !n.args["lowest"].given && !n.args["highest"].given:
		d.fault(n.rng, fmt.Sprintf("class %q does not say for which priorities it is", c.Name),
			"expected lowest, highest or both; what is for all mail stands in the route itself")
		return false
	case c.Lowest > c.Highest:
		d.fault(n.rng, fmt.Sprintf("class %q is for no mail: its lowest priority, %d, is above its highest, %d", c.Name, c.Lowest, c.Highest), "exchange them")
		return false
	}
	return !slices.ContainsFunc(others, func(o Class) bool { return d.collide(n, c, o) })
}

// collide reports whether a class cannot stand beside another one of the route.
func (d *decoder) collide(n *node, c, o Class) bool {
	lowest, highest := max(o.Lowest, c.Lowest), min(o.Highest, c.Highest)
	switch {
	case o.Name == c.Name:
		d.fault(n.rng, fmt.Sprintf("class %q is defined twice in this route", c.Name), "the first one stands at "+o.Pos.String()+"; give one of them another name")
	case lowest <= highest:
		d.fault(n.rng, fmt.Sprintf("mail of priority %d is in the classes %q and %q", highest, o.Name, c.Name),
			fmt.Sprintf("class %q at %s is for %d to %d; let them have no priority in common", o.Name, o.Pos, o.Lowest, o.Highest))
	default:
		return false
	}
	return true
}
