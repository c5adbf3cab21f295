//! Rules about the sources of the whole workspace that neither compiler nor lint holds.
//!
//! Text is judged by a small scanner that tells code, comments and string literals apart; it knows no grammar beyond that.
//! Modules of tests are left out wherever a rule speaks of the library.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The crates that are libraries, in the order in which they depend on each other.
const LIBRARIES: [&str; 5] = ["hudi-core", "cdc-decoders", "hudi-writer", "kafka-source", "glue-catalog"];

/// Where `ObjectStore` may be named.
const STORE_PLACES: [&str; 3] = ["hudi-writer/src/store/", "hudi-writer/src/testing/", "hudi-writer/src/builder.rs"];

/// Where the names of Hudi's properties stand.
const PROPERTY_NAMES: &str = "hudi-core/src/properties/keys.rs";

#[test]
fn every_source_file_says_what_it_is() {
    hold("begin the file with `//!`: what it holds, and what it does not", |file, problems| {
        if file.is_rust() && !file.text.starts_with("//!") {
            problems.push(file.at(1));
        }
    });
}

#[test]
fn names_of_properties_stand_in_one_file() {
    let advice = format!("name the property in {PROPERTY_NAMES} and use that");
    hold(&advice, |file, problems| {
        if file.is_library() && file.name != PROPERTY_NAMES {
            let literals = file.scan().strings;
            let named = literals.iter().filter(|(_, literal)| names_a_property(literal));
            problems.extend(named.map(|(line, literal)| format!("{}: \"{literal}\"", file.at(*line))));
        }
    });
}

#[test]
fn the_object_store_is_named_only_by_its_own_room() {
    let advice = format!("go through the table's store; only {} name `ObjectStore`", STORE_PLACES.join(", "));
    hold(&advice, |file, problems| {
        if file.is_library() && !STORE_PLACES.iter().any(|place| file.name.starts_with(place)) {
            let code = file.scan().code;
            problems.extend(
                words(&code).filter(|(_, word)| *word == "ObjectStore").map(|(at, _)| file.at(line_of(&code, at))),
            );
        }
    });
}

#[test]
fn modules_have_no_cycles() {
    let files = files();
    let mut problems = Vec::new();
    for library in LIBRARIES {
        let uses = module_uses(&files, library);
        if let Some(cycle) = cycle(&uses) {
            let steps = cycle.windows(2).map(|pair| {
                let place = uses.get(&pair[0]).and_then(|to| to.get(&pair[1])).map_or("", String::as_str);
                format!("  `{}` uses `{}` in {place}", pair[0], pair[1])
            });
            problems.push(format!("{library}:\n{}", steps.collect::<Vec<_>>().join("\n")));
        }
    }
    assert!(problems.is_empty(), "modules in a circle; move what both need below them:\n{}", problems.join("\n"));
}

#[test]
fn nothing_is_left_for_later_and_nothing_knows_one_machine() {
    let later = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("HA", "CK")];
    let folders = [concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/Use", "rs/"), concat!("/wo", "rk/")];
    hold(
        "finish it, or say it in an issue; take folders from the environment or relative to the crate",
        |file, problems| {
            for (at, word) in words(&file.text).filter(|(_, word)| later.contains(word)) {
                problems.push(format!("{}: {word}", file.at(line_of(&file.text, at))));
            }
            for folder in folders {
                for (at, _) in file.text.match_indices(folder) {
                    let before = file.text[..at].chars().next_back();
                    if !before.is_some_and(|c| c.is_alphanumeric() || "._-}/".contains(c)) {
                        problems.push(format!("{}: {folder}", file.at(line_of(&file.text, at))));
                    }
                }
            }
        },
    );
}

/// Runs a rule on every file and shows what breaks it, with the advice.
fn hold(advice: &str, mut rule: impl FnMut(&SourceFile, &mut Vec<String>)) {
    let mut problems = Vec::new();
    for file in files() {
        rule(&file, &mut problems);
    }
    assert!(problems.is_empty(), "{advice}:\n{}", problems.join("\n"));
}

// ---- files ---------------------------------------------------------------------------------------------------------

struct SourceFile {
    /// The path from the workspace's root, with `/`.
    name: String,
    text: String,
}

impl SourceFile {
    fn is_rust(&self) -> bool {
        self.name.ends_with(".rs")
    }

    /// Code of a library crate, tests in files of their own left out.
    fn is_library(&self) -> bool {
        self.is_rust()
            && LIBRARIES.iter().any(|l| self.name.strip_prefix(l).is_some_and(|rest| rest.starts_with("/src/")))
            && !self.name.ends_with("/tests.rs")
            && !self.name.contains("/tests/")
    }

    fn scan(&self) -> Scanned {
        scan(&without_tests(&self.text))
    }

    fn at(&self, line: usize) -> String {
        format!("{}:{line}", self.name)
    }
}

/// Everything in the workspace that people write and read, sorted by name.
fn files() -> Vec<SourceFile> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let (mut folders, mut found) = (vec![PathBuf::new()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(root.join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let path = folder.join(entry.file_name());
            let name = path.to_str().unwrap().replace('\\', "/");
            if entry.file_type().unwrap().is_dir() {
                if !["target", ".git"].contains(&entry.file_name().to_str().unwrap()) {
                    folders.push(path);
                }
            } else if [".rs", ".toml", ".md", ".py", ".sh", ".ci/run"].iter().any(|end| name.ends_with(end)) {
                let text = std::fs::read_to_string(root.join(&path)).unwrap();
                found.push(SourceFile { name, text });
            }
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(found.iter().any(|f| f.name == "hudi-core/src/lib.rs"), "the sources are not where they should be");
    found
}

// ---- text ----------------------------------------------------------------------------------------------------------

struct Scanned {
    /// The text with comments and the insides of literals blanked; lines and positions stay.
    code: String,
    /// String literals as they are written, with their lines.
    strings: Vec<(usize, String)>,
}

/// Tells code, comments and literals apart.
fn scan(text: &str) -> Scanned {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut strings = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &text[at..];
        let end = if rest.starts_with("//") {
            at + rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            at + block_comment_bytes(rest)
        } else if let Some((open, end)) = string_literal(text, at) {
            strings.push((line_of(text, at), text[open..end].trim_end_matches(['"', '#']).to_owned()));
            end
        } else if let Some(bytes) = char_literal_bytes(rest) {
            at + bytes
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
            continue;
        };
        code[at..end].iter_mut().filter(|b| **b != b'\n').for_each(|b| *b = b' ');
        at = end;
    }
    Scanned { code: String::from_utf8(code).unwrap(), strings }
}

fn block_comment_bytes(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match &rest.as_bytes()[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// The start of the literal's inside and the literal's end, if one begins at `at`.
fn string_literal(text: &str, at: usize) -> Option<(usize, usize)> {
    let inside_word = text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
    let rest = &text[at..];
    let raw = rest.strip_prefix('b').unwrap_or(rest).strip_prefix('r');
    if let Some(raw) = raw.filter(|_| !inside_word) {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            let open = text.len() - raw.len() + hashes + 1;
            let close = format!("\"{}", "#".repeat(hashes));
            let end = text[open..].find(&close).map_or(text.len(), |n| open + n + close.len());
            return Some((open, end));
        }
    }
    let mut chars = rest.strip_prefix('"')?.char_indices();
    while let Some((n, c)) = chars.next() {
        match c {
            '\\' => drop(chars.next()),
            '"' => return Some((at + 1, at + n + 2)),
            _ => {}
        }
    }
    Some((at + 1, text.len()))
}

/// The length of a character literal, which a lifetime is not.
fn char_literal_bytes(rest: &str) -> Option<usize> {
    let inside = rest.strip_prefix('\'')?;
    let skip = if inside.starts_with('\\') { 2 } else { inside.chars().next()?.len_utf8() };
    let close = inside.get(skip..)?.find('\'')?;
    (close == 0 || inside.starts_with('\\') && close <= 8).then_some(skip + close + 2)
}

/// The text with the bodies of `#[cfg(test)] mod … { }` blanked.
fn without_tests(text: &str) -> String {
    let code = scan(text).code;
    let mut kept = text.as_bytes().to_vec();
    for (at, mark) in code.match_indices("#[cfg(test)]") {
        let item = &code[at + mark.len()..];
        let head = item.trim_start();
        let Some(open) = item.find('{').filter(|open| head.starts_with("mod ") && !item[..*open].contains(';')) else {
            continue;
        };
        let from = at + mark.len() + open;
        let mut depth = 0;
        for (n, byte) in code.bytes().enumerate().skip(from) {
            depth += i32::from(byte == b'{') - i32::from(byte == b'}');
            if depth == 0 {
                kept[from..=n].iter_mut().filter(|b| **b != b'\n').for_each(|b| *b = b' ');
                break;
            }
        }
    }
    String::from_utf8(kept).unwrap()
}

/// Identifiers and numbers with their positions.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
        .map(move |word| (word.as_ptr() as usize - text.as_ptr() as usize, word))
}

fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

/// Whether a literal spells a property; `hoodie.properties` is a file, and `hoodie.{}` a namespace.
fn names_a_property(literal: &str) -> bool {
    literal.match_indices("hoodie.").any(|(at, found)| {
        let rest = &literal[at + found.len()..];
        rest.starts_with(|c: char| c.is_ascii_lowercase()) && !rest.starts_with("properties")
    })
}

// ---- modules -------------------------------------------------------------------------------------------------------

/// For each top module of a crate the top modules that it uses, with a place where it does.
type Uses = BTreeMap<String, BTreeMap<String, String>>;

fn module_uses(files: &[SourceFile], library: &str) -> Uses {
    let source = format!("{library}/src/");
    let own: Vec<_> =
        files.iter().filter(|f| f.is_library()).filter_map(|f| Some((f, f.name.strip_prefix(&source)?))).collect();
    let module = |name: &str| -> Vec<String> {
        let path = name.trim_end_matches(".rs").trim_end_matches("/mod");
        path.split('/').filter(|part| *part != "lib").map(str::to_owned).collect()
    };
    let tops: BTreeSet<String> = own.iter().filter_map(|(_, name)| module(name).first().cloned()).collect();
    let root = own.iter().find(|(_, name)| *name == "lib.rs").map(|(f, _)| f.scan().code).unwrap_or_default();
    let exported = exports(&root, &tops);
    let mut uses = Uses::new();
    for (file, name) in &own {
        let path = module(name);
        let Some(from) = path.first() else { continue };
        let code = file.scan().code;
        for (at, first) in crate_names(&code, path.len()) {
            let to = exported.get(&first).unwrap_or(&first);
            if to != from && tops.contains(to) {
                let place = file.at(line_of(&code, at));
                uses.entry(from.clone()).or_default().entry(to.clone()).or_insert(place);
            }
        }
    }
    uses
}

/// The first names of all paths from the crate's root, whether by `crate::` or by as many `super::` as lead there.
fn crate_names(code: &str, depth: usize) -> Vec<(usize, String)> {
    let by_super = "super::".repeat(depth);
    ["crate::", &by_super]
        .into_iter()
        .flat_map(|prefix| code.match_indices(prefix))
        .filter(|(at, _)| !code[..*at].ends_with(|c: char| c.is_alphanumeric() || "_:$".contains(c)))
        .flat_map(|(at, prefix)| {
            let rest = code[at + prefix.len()..].trim_start();
            first_names(rest).into_iter().map(move |name| (at, name))
        })
        .collect()
}

/// The name that `rest` begins with, or the first names of the group in braces.
fn first_names(rest: &str) -> Vec<String> {
    let Some(group) = rest.strip_prefix('{') else {
        return words(rest).next().filter(|(at, _)| *at == 0).map(|(_, word)| word.to_owned()).into_iter().collect();
    };
    let (mut depth, mut start, mut names) = (0, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                names.extend(words(&group[start..at]).next().map(|(_, word)| word.to_owned()));
                start = at + 1;
            }
            _ => {}
        }
        if c == '}' && depth == 0 && start == at + 1 {
            break;
        }
    }
    names
}

/// What the crate's root re-exports, with the top module that it comes from.
fn exports(root: &str, tops: &BTreeSet<String>) -> BTreeMap<String, String> {
    let statements = root.split(';').filter_map(|s| s.split_once("pub use ")).map(|(_, tree)| tree);
    let mut exported = BTreeMap::new();
    for tree in statements {
        let tree = tree.trim_start().trim_start_matches("crate::").trim_start_matches("self::");
        let names: Vec<_> = words(tree).map(|(_, word)| word).collect();
        if let Some((top, rest)) = names.split_first().filter(|(top, _)| tops.contains(**top)) {
            exported.extend(rest.iter().map(|name| ((*name).to_owned(), (*top).to_owned())));
        }
    }
    exported
}

/// One circle, its first module repeated at the end.
fn cycle(uses: &Uses) -> Option<Vec<String>> {
    let mut done = BTreeSet::new();
    uses.keys().find_map(|from| walk(uses, from, &mut Vec::new(), &mut done))
}

fn walk(uses: &Uses, at: &str, way: &mut Vec<String>, done: &mut BTreeSet<String>) -> Option<Vec<String>> {
    if let Some(start) = way.iter().position(|module| module == at) {
        return Some(way[start..].iter().cloned().chain([at.to_owned()]).collect());
    }
    if !done.insert(at.to_owned()) {
        return None;
    }
    way.push(at.to_owned());
    let found = uses.get(at).into_iter().flat_map(BTreeMap::keys).find_map(|next| walk(uses, next, way, done));
    way.pop();
    found
}

// ---- the scanner's own tests ---------------------------------------------------------------------------------------

#[test]
fn code_comments_and_literals_are_told_apart() {
    let text = r##"let a = "x // \" y"; // "no" 'c'
let b = r#"raw "quoted""#; /* /* in */ "no" */ let c = '"'; let d: &'static str = b"z"; let e = '\u{1F600}';"##;
    let scanned = scan(text);
    let literals: Vec<_> = scanned.strings.iter().map(|(line, s)| (*line, s.as_str())).collect();
    assert_eq!(literals, [(1, r#"x // \" y"#), (2, r#"raw "quoted"#), (2, "z")]);
    let code: Vec<_> = words(&scanned.code).map(|(_, word)| word).collect();
    assert_eq!(code.join(" "), "let a let b let c let d static str b let e");
}

#[test]
fn bodies_of_test_modules_are_left_out() {
    let text = "use a;\n#[cfg(test)]\nmod tests {\n  fn f() { \"}\" }\n}\nuse b;\n#[cfg(test)]\nmod far;\nmod near {}";
    let kept = without_tests(text);
    assert_eq!(
        words(&kept).map(|(_, w)| w).collect::<Vec<_>>().join(" "),
        "use a cfg test mod tests use b cfg test mod far mod near"
    );
    assert_eq!(line_of(&kept, kept.find("use b").unwrap()), 6);
}

#[test]
fn a_circle_of_modules_is_found_through_every_kind_of_path() {
    let file = |name: &str, text: &str| SourceFile { name: format!("hudi-core/src/{name}"), text: text.to_owned() };
    let files = [
        file("lib.rs", "mod a; mod b; mod c;\npub use c::{deep::Thing, Other};"),
        file("a.rs", "use crate::{\n  b::{x, y},\n};"),
        file("b/inner.rs", "fn f() -> super::super::Thing {}"),
        file("c.rs", "// crate::a\n#[cfg(test)]\nmod tests { use crate::a; }"),
    ];
    let uses = module_uses(&files, "hudi-core");
    assert_eq!(uses["a"]["b"], "hudi-core/src/a.rs:1");
    assert_eq!(uses["b"]["c"], "hudi-core/src/b/inner.rs:1");
    assert_eq!(cycle(&uses), None);
    let files = files.into_iter().chain([file("c/more.rs", "type A = crate::a::A;")]).collect::<Vec<_>>();
    let expect = ["a", "b", "c", "a"].map(str::to_owned).to_vec();
    assert_eq!(cycle(&module_uses(&files, "hudi-core")), Some(expect));
}

#[test]
fn names_of_properties_are_told_from_files_and_namespaces() {
    assert!(names_a_property("hoodie.table.name"));
    assert!(names_a_property("set `hoodie.x` first"));
    assert!(!names_a_property("hoodie.properties"));
    assert!(!names_a_property("hoodie.{name}"));
    assert!(!names_a_property("_hoodie_record_key"));
}
