// SPDX-License-Identifier: Apache-2.0

//! The conformance guest in Rust: it uses every function of the SDK and writes
//! down what came of it. kit_test.go says what must come.

use postroad::json::push_int;
use postroad::{abi, log, log_on, now_ms, plugin, random, rrtype, secret, Branch, Bucket, Emission, Error, Field, Hook};
use postroad::{Level, PartField, PartView, Phases, Place, Plugin, Reply, Request, Response, Result, Scope, Store};
use postroad::{Value, Verdict, View};

struct Kit {
    store: Store,
    bucket: Bucket,
    out: String,
}

plugin!(Kit);

impl Plugin for Kit {
    fn new(config: &Value) -> std::result::Result<Self, String> {
        let mut out = String::new();
        let text = ["{\"word\":\"", config.text("word"), "\"}"].concat();
        note(&mut out, "config", Ok(text));
        let store = Store::open("kept");
        note(&mut out, "store", done(store.map(|_| ())));
        note(&mut out, "store denied", done(Store::open("other").map(|_| ())));
        let bucket = Bucket::open("slow");
        note(&mut out, "bucket", done(bucket.map(|_| ())));
        note(&mut out, "bucket denied", done(Bucket::open("other").map(|_| ())));
        note(&mut out, "secret", secret("key").map(postroad::lossy));
        note(&mut out, "secret denied", done(secret("other").map(|_| ())));
        match (store, bucket) {
            (Ok(store), Ok(bucket)) => Ok(Kit { store, bucket, out }),
            _ => Err("no store or bucket".to_string()),
        }
    }

    fn phases(&self) -> Phases {
        Phases::HELO.with(Phases::MAIL, true).with(Phases::RCPT, true).with(Phases::MESSAGE, true)
    }

    fn helo(&mut self, h: &Hook) -> Result<Verdict> {
        note(&mut self.out, "remove", done(h.remove_ehlo("8bitmime")));
        note(&mut self.out, "remove again", done(h.remove_ehlo("8bitmime")));
        note(&mut self.out, "add", done(h.add_ehlo("X-KIT 1")));
        h.set_meta(Scope::Session, "helo", "done")?;
        Ok(Verdict::Continue)
    }

    fn mail(&mut self, h: &Hook) -> Result<Verdict> {
        note(&mut self.out, "header in mail", done(h.header("Subject").map(|_| ())));
        note(&mut self.out, "recipient in mail", done(h.set_recipient(0, "a@b")));
        match h.sender()?.as_str() {
            "panic@example.org" => panic!("as asked"),
            "error@example.org" => return Err(Error::LIMIT),
            _ => h.set_sender("mapped@example.org")?,
        }
        Ok(Verdict::Continue)
    }

    fn rcpt(&mut self, h: &Hook, idx: usize) -> Result<Verdict> {
        h.set_recipient(idx, &["arg", &int(idx as i64), "@example.test"].concat())?;
        Ok(Verdict::Continue)
    }

    fn message(&mut self, h: &Hook) -> Result<Verdict> {
        let mut out = std::mem::take(&mut self.out);
        facts(&mut out, h);
        header(&mut out, h)?;
        envelope(&mut out, h);
        body(&mut out, h);
        log(Level::Info, &out);
        out.clear();
        self.state(&mut out);
        queue(&mut out, h);
        outside(&mut out, h);
        snapshot(&mut out, h);
        log(Level::Info, &out);
        h.reply(Reply { code: 550, enhanced: [5, 7, 0], text: "kept for the kit" })?;
        Ok(Verdict::Quarantine)
    }
}

fn facts(out: &mut String, h: &Hook) {
    let fields = [Field::ClientIp, Field::Helo, Field::Rdns, Field::Listener, Field::OriginalSender, Field::Stage];
    for f in fields {
        let name = ["field ", &int(f as i64)].concat();
        note(out, &name, h.get(f).map(|v| v.unwrap_or_default()));
    }
    note(out, "field 99", h.octets(99, 0).map(|_| String::new()));
    note(out, "sender", h.sender());
    note(out, "count", Ok(int(h.recipient_count() as i64)));
    note(out, "recipient", h.recipient(1).map(|v| v.unwrap_or_default()));
    note(out, "original", h.original_recipient(1).map(|v| v.unwrap_or_default()));
    note(out, "no recipient", h.recipient(9).map(|v| v.unwrap_or_default()));
    let declared = h.get_int(abi::FIELD_DECLARED_SIZE);
    note(out, &["declared ", truth(declared.is_some())].concat(), Ok(int(declared.unwrap_or(abi::ABSENT))));
    note(out, "log on", Ok(truth(log_on(Level::Error)).to_string()));
    note(out, "now", Ok(int(now_ms())));
}

fn header(out: &mut String, h: &Hook) -> Result<()> {
    note(out, "subject", h.header("subject").map(|v| v.unwrap_or_default()));
    note(out, "no field", h.header("X-None").map(|v| v.unwrap_or_default()));
    let first = h.find_header("", None);
    note(out, "first", done(first.map(|_| ())));
    let second = h.find_header("X-A", first?);
    note(out, "second", second.map(|s| truth(s.is_some()).to_string()));
    let (id, second) = match (first?, second?) {
        (Some(a), Some(b)) => (a, b),
        _ => return Err(Error::NOT_FOUND),
    };
    note(out, "part", h.header_name(second));
    note(out, "part", h.header_part(second, abi::HDR_RAW).map(postroad::lossy));
    note(out, "part", h.header_part(second, abi::HDR_UNFOLDED).map(postroad::lossy));
    note(out, "part", h.header_value(second));
    for at in [Place::Top, Place::End, Place::Before(second), Place::After(second)] {
        note(out, "add", done(h.add_header(at, "X-New", "é").map(|_| ())));
    }
    note(out, "set", done(h.set_header(second, "changed")));
    note(out, "delete", done(h.delete_header(id)));
    note(out, "deleted", done(h.delete_header(id)));
    note(out, "bad value", done(h.set_header(second, "a\r\nb")));
    Ok(())
}

fn envelope(out: &mut String, h: &Hook) {
    let added = h.add_recipient("added@example.test");
    let i = added.unwrap_or(0);
    note(out, "add recipient", added.map(|i| int(i as i64)));
    note(out, "set recipient", done(h.set_recipient(i, "changed@example.test")));
    note(out, "bad recipient", done(h.set_recipient(i, "no address")));
    note(out, "delete recipient", done(h.delete_recipient(0)));
    let reply = Reply { code: 451, enhanced: [4, 2, 0], text: "one only" };
    note(out, "verdict", done(h.recipient_verdict(1, Verdict::Tempfail, Some(reply))));
    note(out, "sender", done(h.set_sender("")));
    note(out, "route", done(h.set_route(None, "plugintest")));
    note(out, "hop", done(h.set_next_hop(Some(i), "mx.example.test:25")));
    note(out, "hop denied", done(h.set_next_hop(Some(i), "127.0.0.1:25")));
    note(out, "meta", done(h.set_meta(Scope::Message, "k", "v")));
    note(out, "own note", h.meta(Scope::Message, "k").map(|v| v.unwrap_or_default()));
    note(out, "other note", h.meta(Scope::Message, "other.note").map(|v| v.unwrap_or_default()));
    note(out, "no note", h.meta(Scope::Session, "k").map(|v| v.unwrap_or_default()));
}

fn body(out: &mut String, h: &Hook) {
    for view in [View::Message, View::Body] {
        note(out, "size", h.size(view).map(|n| int(n as i64)));
    }
    let mut buf = [0; 4];
    let n = h.read(View::Body, 1, &mut buf);
    note(out, "read", n.map(|n| postroad::lossy(buf[..n].to_vec())));
    note(out, "end", h.read(View::Body, 1 << 40, &mut buf).map(|n| int(n as i64)));
    note(out, "write", done(h.write_body(b"thrown away", false)));
    note(out, "write", done(h.write_body(b"new ", true)));
    note(out, "write", done(h.write_body(b"body\n", false)));
    note(out, "write NUL", done(h.write_body(b"\0", false)));
    note(out, "parts", h.part_count().map(|n| int(n as i64)));
    for f in [PartField::Type, PartField::Depth, PartField::Filename, PartField::Size] {
        note(out, "part", h.part(0, f).map(|v| v.unwrap_or_default()));
    }
}

fn queue(out: &mut String, h: &Hook) {
    note(out, "score", done(h.add_score("KIT", 1500)));
    note(out, "sum", Ok(int(h.get_int(abi::FIELD_SCORE).unwrap_or(0))));
    note(out, "bad symbol", done(h.add_score("two words", 1)));
    note(out, "split nobody", done(h.split(&[9]).map(|_| ())));
    note(out, "parent", done(h.switch_to(Branch::PARENT)));
    note(out, "no child", done(h.switch_to(Branch::numbered(7))));
    note(out, "priority", done(h.set_queue(abi::QUEUE_PRIORITY, 5)));
    note(out, "bad priority", done(h.set_queue(abi::QUEUE_PRIORITY, 500)));
    note(out, "report", done(h.set_queue(abi::QUEUE_DSN, 0)));
    note(out, "tenant", done(h.set_tenant("shop-17")));
    note(out, "own tenant", h.get(Field::Tenant).map(|v| v.unwrap_or_default()));
    note(out, "campaign", done(h.set_campaign("spring")));
    note(out, "bad campaign", done(h.set_campaign("two words")));
    note(out, "no campaign", done(h.set_campaign("")));
    note(out, "it is gone", h.get(Field::Campaign).map(|v| v.unwrap_or_default()));
    let report = Emission { recipients: &["postmaster@example.test"], header: "Subject: report\r\n", body: Some(b"one\r\n"), ..Default::default() };
    note(out, "emit", done(h.emit(report)));
    let copy = Emission { sender: "ann@example.org", recipients: &["a@example.test", "b@example.test"], header: "Subject: copy\r\n", body: None };
    note(out, "copy", done(h.emit(copy)));
    note(out, "emit to nobody", done(h.emit(Emission { header: "Subject: x\r\n", body: Some(b""), ..Default::default() })));
    let mut buf = [0; 4];
    let n = h.read_part(0, PartView::Text, 1, &mut buf);
    note(out, "part", n.map(|n| postroad::lossy(buf[..n].to_vec())));
    note(out, "no part", done(h.read_part(9, PartView::Decoded, 0, &mut buf).map(|_| ())));
}

fn outside(out: &mut String, h: &Hook) {
    let a = h.lookup(rrtype::MX, "example.test");
    note(out, "records", a.clone().map(|a| int(a.records.len() as i64)));
    for r in a.map(|a| a.records).unwrap_or_default() {
        note(out, &["record ", &int(r.preference as i64)].concat(), Ok(postroad::lossy(r.data)));
    }
    note(out, "no records", h.lookup(rrtype::A, "none.test").map(|a| int(a.records.len() as i64)));
    let url = "https://api.example.test/";
    let r = h.fetch(Request { method: "POST", url, header: &["X-A: b"], body: b"hi", timeout_ms: 1000 });
    note(out, "fetch", done(r.map(|_| ())));
    if let Ok(r) = r {
        response(out, r);
    }
    note(out, "send", done(h.send(Request { url: "https://api.example.test/hook", ..Default::default() })));
    note(out, "count", done(h.count("seen;by=kit", 2)));
    note(out, "gauge", done(h.set_gauge("level", -1)));
    note(out, "observe", done(h.observe("took", 7)));
    note(out, "bad metric", done(h.count("Two Words", 1)));
    note(out, "random", done(random(&mut [0; 16])));
}

fn response(out: &mut String, r: Response) {
    note(out, "status", Ok(int(r.status as i64)));
    note(out, "octets", Ok(int(r.size as i64)));
    note(out, "kind", r.header("x-kind").map(|v| v.unwrap_or_default()));
    note(out, "no kind", r.header("X-None").map(|v| v.unwrap_or_default()));
    let mut buf = [0; 64];
    note(out, "body", r.read(0, &mut buf).map(|n| postroad::lossy(buf[..n].to_vec())));
}

fn snapshot(out: &mut String, h: &Hook) {
    let s = h.snapshot();
    note(out, "snapshot", done(s.as_ref().map(|_| ()).map_err(|e| *e)));
    let s = match s {
        Ok(s) => s,
        Err(_) => return,
    };
    let text = |v: Option<&[u8]>| postroad::lossy(v.unwrap_or_default().to_vec());
    note(out, "client", Ok(text(s.octets(abi::FIELD_CLIENT_IP))));
    note(out, "sum", Ok(int(s.get_int(abi::FIELD_SCORE).unwrap_or(0))));
    for r in &s.recipients {
        note(out, &["recipient ", &int(r.index as i64)].concat(), Ok(text(r.octets(abi::FIELD_RCPT))));
    }
    note(out, "fields", Ok(int(s.header.len() as i64)));
    for (name, milli) in &s.symbols {
        note(out, &["symbol ", &postroad::lossy(name.clone())].concat(), Ok(int(*milli as i64)));
    }
    note(out, "object", h.snapshot_json().map(|b| truth(b.len() > 2 && b[0] == b'{').to_string()));
}

impl Kit {
    fn state(&self, out: &mut String) {
        let s = self.store;
        note(out, "put", done(s.put(b"a", b"1", 0)));
        let v = s.get(b"a");
        let there = matches!(v, Ok(Some(_)));
        note(out, &["get ", truth(there)].concat(), v.map(|v| postroad::lossy(v.unwrap_or_default())));
        note(out, "put again", done(s.put_if_absent(b"a", b"2", 0)));
        note(out, "swap", done(s.compare_and_swap(b"a", b"1", b"3", 0)));
        note(out, "swap again", done(s.compare_and_swap(b"a", b"1", b"4", 0)));
        note(out, "add", s.add(b"n", -7, 0).map(int));
        note(out, "del", done(s.delete(b"a")));
        note(out, "gone", s.get(b"a").map(|v| truth(v.is_none()).to_string()));
        for _ in 0..2 {
            let t = self.bucket.take("k", 1);
            let name = ["take ", truth(t.map_or(false, |t| t.allowed))].concat();
            note(out, &name, t.map(|t| int(t.wait_ms)));
        }
    }
}

/// Writes "what=value" or "what!number of the error".
fn note(out: &mut String, what: &str, r: Result<String>) {
    out.push_str(what);
    match r {
        Ok(v) => {
            out.push('=');
            v.split('\r').for_each(|p| match p.strip_prefix('\n') {
                Some(p) => {
                    out.push('~');
                    out.push_str(p);
                }
                None => out.push_str(p),
            });
        }
        Err(e) => {
            out.push('!');
            push_int(out, e.0 as i64);
        }
    }
    out.push('|');
}

fn done(r: Result<()>) -> Result<String> {
    r.map(|_| String::new())
}

fn int(n: i64) -> String {
    let mut s = String::new();
    push_int(&mut s, n);
    s
}

fn truth(b: bool) -> &'static str {
    if b {
        "true"
    } else {
        "false"
    }
}
