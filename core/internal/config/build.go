// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"path/filepath"
	"slices"
	"time"
)

// config makes the values of nodes, and checks what one node alone does not
// show.
func (d *decoder) config(root *node, opts Options) *Config {
	c := &Config{File: d.file, root: root}
	c.Server = buildServer(root.child("server"))
	if opts.DataDir != "" {
		c.Server.DataDir = opts.DataDir
	}
	d.server = c.Server
	c.Admin = Admin{arg[string](root.child("admin"), "address")}
	c.Resolver = Resolver{arg[[]string](root.child("resolver"), "servers")}
	for _, n := range root.children("listener") {
		c.Listeners = append(c.Listeners, d.listener(n))
	}
	d.addresses(root)
	d.users(c, root)
	d.authorities(c, root)
	for _, n := range root.children("store") {
		c.Stores = append(c.Stores, Store{n.name(), arg[string](n, "engine"), arg[time.Duration](n, "ttl"), arg[int64](n, "keys"), arg[int64](n, "size")})
	}
	for _, n := range root.children("bucket") {
		c.Buckets = append(c.Buckets, buildBucket(n))
	}
	for _, n := range root.children("source") {
		c.Sources = append(c.Sources, d.source(n))
	}
	d.providers(c, root)
	for _, n := range root.children("route") {
		c.Routes = append(c.Routes, d.route(n, c.Server.DataDir))
	}
	loaded := d.plugins(c, root, opts)
	at := places(c)
	for _, n := range root.children("pipeline") {
		c.Pipelines = append(c.Pipelines, d.pipeline(n, loaded, at[n.name()]))
	}
	d.routing(c, root)
	d.unused()
	return c
}

func buildServer(n *node) Server {
	log := n.child("log")
	return Server{
		Hostname: arg[string](n, "hostname"), DataDir: arg[string](n, "data_dir"),
		LogFormat: arg[string](log, "format"), LogLevel: arg[string](log, "level"),
		DrainTimeout: arg[time.Duration](n, "drain_timeout"), PluginMemory: arg[int64](n, "plugin_memory"),
		Watchdog: arg[time.Duration](n, "watchdog"),
	}
}

func buildBucket(n *node) Bucket {
	r := arg[Rate](n, "rate")
	if !n.has("burst") {
		n.set("burst", int64(r.Count))
	}
	return Bucket{n.name(), r.Count, r.Per, int(arg[int64](n, "burst"))}
}

func (d *decoder) route(n *node, dataDir string) Route {
	r := Route{
		Name: n.name(), Pipeline: arg[string](n, "pipeline"), Schedule: d.schedule(n), Classes: d.classes(n), Rate: arg[Rate](n, "rate"),
		DSN: arg[string](n, "dsn"), Pos: d.pos(n.rng),
	}
	d.transport(&r, n, dataDir)
	return r
}

// transport reads the one block that says how the route delivers.
func (d *decoder) transport(r *Route, n *node, dataDir string) {
	ways := slices.DeleteFunc(slices.Clone(n.blocks), func(b *node) bool { return b.spec.name == "class" })
	if len(ways) == 0 {
		d.fault(n.rng, "the route does not say how to deliver", "expected one of the blocks maildir, mx, smarthost, discard")
		return
	}
	for _, b := range ways[1:] {
		if b.spec != ways[0].spec {
			d.fault(b.rng, fmt.Sprintf("the route has a %s block already", ways[0].spec.name), "a route delivers in one way; define a second route")
		}
	}
	b := ways[0]
	r.Kind = b.spec.name
	switch r.Kind {
	case "maildir":
		r.Maildir = buildMaildir(b, dataDir)
	case "mx":
		r.MX = MX{arg[string](b, "tls"), int(arg[int64](b, "port")), arg[bool](b, "allow_private"), int(arg[int64](b, "connections")), d.sources(b)}
	case "smarthost":
		r.Smarthost = Smarthost{d.hosts(b), arg[string](b, "tls"), int(arg[int64](b, "connections")), d.sources(b)}
	}
}

func buildMaildir(n *node, dataDir string) Maildir {
	root := arg[string](n, "root")
	if !filepath.IsAbs(root) {
		root = filepath.Join(dataDir, root)
	}
	return Maildir{root, arg[bool](n, "create"), arg[[]string](n, "mailboxes")}
}

// hosts joins the two ways to name a smarthost.
func (d *decoder) hosts(n *node) []string {
	_, one := n.args["host"]
	_, several := n.args["hosts"]
	switch {
	case one && several:
		d.fault(n.args["host"].rng, "host and hosts are both given", "put all of them into hosts")
	case one && n.has("host"):
		n.set("hosts", []string{arg[string](n, "host")})
		delete(n.args, "host")
	case !one && !several:
		d.fault(n.rng, "smarthost needs the argument host or hosts", `expected host = "192.0.2.1:25" or hosts = ["192.0.2.1:25", "192.0.2.2:25"]`)
	case several && n.has("hosts") && len(arg[[]string](n, "hosts")) == 0:
		d.fault(n.args["hosts"].rng, "hosts is empty", "expected at least one host:port")
	}
	return arg[[]string](n, "hosts")
}
