//! Wild values: what a broken client, a curious person and an attacker would put where something
//! else belongs. Bounded: nothing here is larger than twice the largest frame.

use serde_json::{Map, Value, json};

use crate::draw::Draw;

/// Deepest nesting: beyond what any JSON reader takes.
const DEEP: usize = 300;

/// Lengths of long texts, characters: around the limits of names, ids, texts and frames.
const LONG: &[usize] = &[63, 65, 129, 256, 2_000, 2_001, 16_385, 65_537];

/// Texts that have broken somebody before.
const TEXTS: &[&str] = &[
    "",
    " ",
    "\0",
    "\u{200b}\u{200d}\u{feff}",
    "\u{202e}txet",
    "👨‍👩‍👧‍👦",
    "e\u{301}\u{302}\u{303}",
    "null",
    "-1",
    "../../etc/passwd",
    "%00%ff",
    "' OR 1=1 --",
    "<script>alert(1)</script>",
    "00000000-0000-0000-0000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "{\"jsonrpc\":\"2.0\"}",
    "\r\nX-Other: 1\r\n\r\n",
];

/// One of several.
pub fn one_of<'a, T: ?Sized>(draw: &mut Draw, of: &[&'a T]) -> Option<&'a T> {
    of.get(draw.below(of.len())).copied()
}

/// Whether, in one of `n` cases.
pub fn one_in(draw: &mut Draw, n: usize) -> bool {
    draw.below(n) == 0
}

/// A text, sometimes long.
pub fn text(draw: &mut Draw) -> String {
    if one_in(draw, 6) {
        let unit = one_of(draw, &["a", "я", "👋", "\u{301}", "\"", "\u{1}"]).unwrap_or("a");
        let length = LONG.get(draw.below(LONG.len())).copied().unwrap_or(1);
        return unit.chars().cycle().take(length).collect();
    }
    one_of(draw, TEXTS).unwrap_or("").to_owned()
}

/// Any value.
pub fn value(draw: &mut Draw) -> Value {
    match draw.below(12) {
        0 => Value::Null,
        1 => Value::Bool(one_in(draw, 2)),
        2 => json!(draw.bits()),
        3 => json!(i64::MIN),
        4 => json!(1e308),
        5 => json!(0.5),
        6 => json!([]),
        7 => json!({}),
        8 => Value::Array(vec![json!(1); draw.below(200)]),
        9 => deep(draw.below(60)),
        _ => Value::String(text(draw)),
    }
}

fn deep(levels: usize) -> Value {
    (0..levels).fold(Value::Null, |inner, _| json!([inner]))
}

/// Changes one place of a value: another value there, one member less or more, or elsewhere.
pub fn change(draw: &mut Draw, within: &mut Value) {
    match within {
        Value::Object(members) if !members.is_empty() => change_member(draw, members),
        Value::Array(items) if !items.is_empty() && !one_in(draw, 3) => {
            let place = draw.below(items.len());
            if let Some(item) = items.get_mut(place) {
                change(draw, item);
            }
        }
        other => *other = value(draw),
    }
}

fn change_member(draw: &mut Draw, members: &mut Map<String, Value>) {
    let names: Vec<String> = members.keys().cloned().collect();
    let Some(name) = names.get(draw.below(names.len())) else { return };
    match draw.below(6) {
        0 => drop(members.remove(name)),
        1 => drop(members.insert(text(draw), value(draw))),
        2 => drop(members.insert(name.clone(), value(draw))),
        _ => {
            if let Some(inner) = members.get_mut(name) {
                change(draw, inner);
            }
        }
    }
}

/// What was written, with some bytes changed, doubled, cut off; or noise.
pub fn bytes(draw: &mut Draw, written: &[u8]) -> Vec<u8> {
    let mut bytes = written.to_vec();
    match draw.below(7) {
        0 => bytes.truncate(draw.below(written.len() + 1)),
        1 => bytes.extend_from_slice(written),
        2 => {
            return (0..draw.below(400)).map(|_| (draw.bits() & 0xff) as u8).collect();
        }
        3 => {
            let nested = "[".repeat(DEEP) + &"]".repeat(DEEP);
            return nested.into_bytes();
        }
        // A member twice: which one counts is a question that must not be open.
        4 if bytes.first() == Some(&b'{') => {
            let twice = b"{\"id\":1,\"method\":\"chat.list\",\"version\":1,".iter();
            bytes.splice(0..1, twice.copied());
        }
        _ => {
            // Mostly UTF-8 all the same: what is none is refused before anybody reads it.
            let bits = if one_in(draw, 4) { 0xff } else { 0x7f };
            for _ in 0..=draw.below(4) {
                let place = draw.below(bytes.len());
                if let Some(byte) = bytes.get_mut(place) {
                    *byte = (draw.bits() & bits) as u8;
                }
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::Purpose;

    #[test]
    fn the_same_seed_gives_the_same_and_nothing_is_too_large() {
        let run = |seed| {
            let mut draw = Draw::new(seed, Purpose::Fuzz, 0);
            let mut all = Vec::new();
            for _ in 0..2_000 {
                let mut call = json!({"jsonrpc": "2.0", "params": {"chat": "c", "list": [1, 2]}});
                change(&mut draw, &mut call);
                let written = call.to_string().into_bytes();
                assert!(written.len() < 1 << 19);
                all.push(bytes(&mut draw, &written));
            }
            all
        };
        assert!(run(1) == run(1));
        assert!(run(1) != run(2));
    }
}
