//! The words of the pages and of what is printed: zh-CN as source, English as second language, in fluent files (projectfluent.org)
//! that are part of the binary. Labels of kinds, fields and statuses are the catalogue's, not here.

use std::sync::LazyLock;

use fluent_bundle::concurrent::FluentBundle;
use fluent_bundle::{FluentArgs, FluentResource, FluentValue};
use lianxin_protocol::catalogue::Label;
use unic_langid::LanguageIdentifier;

/// The language of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lang {
    /// 简体中文.
    Zh,
    /// English.
    En,
}

const ZH: &str = include_str!("../locales/zh-CN.ftl");
const EN: &str = include_str!("../locales/en.ftl");

type Bundle = FluentBundle<FluentResource>;

fn bundle(lang: &str, text: &str) -> Bundle {
    let lang: LanguageIdentifier = lang.parse().unwrap_or_default();
    let mut bundle = Bundle::new_concurrent(vec![lang]);
    // No direction marks around what is filled in: both languages run one way, and marks get copied.
    bundle.set_use_isolating(false);
    // A test parses both files; what a broken file still holds is better than nothing.
    let resource = FluentResource::try_new(text.to_owned());
    let resource = resource.unwrap_or_else(|(resource, _)| resource);
    drop(bundle.add_resource(resource));
    bundle
}

static BUNDLES: LazyLock<[Bundle; 2]> = LazyLock::new(|| [bundle("zh-CN", ZH), bundle("en", EN)]);

impl Lang {
    /// A language by the beginning of its tag.
    pub(crate) fn parse(tag: &str) -> Option<Self> {
        match tag.get(..2)? {
            "zh" => Some(Self::Zh),
            "en" => Some(Self::En),
            _ => None,
        }
    }

    /// The words for `id`; `id` itself when there are none, which a test rules out.
    pub(crate) fn say(self, id: &str, with: &[(&str, FluentValue<'_>)]) -> String {
        let [zh, en] = &*BUNDLES;
        let order = match self {
            Self::Zh => [zh, en],
            Self::En => [en, zh],
        };
        for bundle in order {
            let pattern = bundle.get_message(id).and_then(|message| message.value());
            if let Some(pattern) = pattern {
                let args: FluentArgs<'_> = with.iter().cloned().collect();
                let mut errors = Vec::new();
                let said = bundle.format_pattern(pattern, Some(&args), &mut errors);
                return said.into_owned();
            }
        }
        id.to_owned()
    }

    /// A label in front of what is said of it.
    pub(crate) fn colon(self, label: &str) -> String {
        let mark = if self == Self::Zh { "：" } else { ": " };
        format!("{label}{mark}")
    }

    /// A label of the catalogue.
    pub(crate) fn label(self, label: &Label) -> &str {
        match self {
            Self::Zh => &label.zh,
            Self::En => &label.en,
        }
    }

    /// The tag of `<html lang>` (BCP 47).
    pub(crate) const fn tag(self) -> &'static str {
        match self {
            Self::Zh => "zh-CN",
            Self::En => "en",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    fn ids(text: &str) -> BTreeSet<String> {
        let id = |line: &str| Some(line.split_once(" =")?.0.to_owned());
        let starts = |line: &&str| line.starts_with(|it: char| it.is_ascii_lowercase());
        text.lines().filter(starts).filter_map(id).collect()
    }

    #[test]
    fn both_files_parse_and_say_the_same_things() {
        for text in [ZH, EN] {
            assert!(FluentResource::try_new(text.to_owned()).is_ok());
        }
        let (zh, en) = (ids(ZH), ids(EN));
        // English errors are those of the command line.
        let one = |id: &&String| !id.starts_with("error-LX-");
        let missing: Vec<_> = zh.symmetric_difference(&en).filter(one).collect();
        assert!(missing.is_empty(), "in one language only: {missing:?}");
    }

    /// Templates and the pages' code.
    fn texts() -> Vec<String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut texts = Vec::new();
        for folder in ["templates", "src/web", "src/reports"] {
            for entry in std::fs::read_dir(root.join(folder)).into_iter().flatten() {
                let text = entry
                    .ok()
                    .and_then(|it| std::fs::read_to_string(it.path()).ok());
                texts.extend(text);
            }
        }
        texts.extend(std::fs::read_to_string(root.join("src/reports.rs")));
        texts
    }

    #[test]
    fn every_word_that_a_page_names_is_there_and_no_word_is_left_over() {
        let (zh, texts) = (ids(ZH), texts());
        assert!(texts.len() > 20);
        let mut missing = BTreeSet::new();
        for text in &texts {
            for call in [
                ".t(\"", ".n(\"", ".say(\"", ".with(\"", "say(\"", "count(\"",
            ] {
                for (at, _) in text.match_indices(call) {
                    let rest = text.get(at + call.len()..).unwrap_or_default();
                    let id = rest.split_once('"').map_or("", |(id, _)| id);
                    if !id.starts_with('-') && !id.is_empty() && !zh.contains(id) {
                        missing.insert(id.to_owned());
                    }
                }
            }
        }
        assert!(missing.is_empty(), "no words for {missing:?}");
        // These are put together from codes.
        let made = [
            "state-",
            "role-",
            "cause-",
            "error-LX-",
            "refused-",
            "reason-",
            "kind-",
            "board-",
            "todo-",
            "weekday-",
            "tell-",
            "figure-",
            "view-",
            "slip-",
            "inbox-",
            "table-",
        ];
        // Words of reports are named by their codes there.
        let in_reports = ["ra-", "rp-", "rr-", "rt-", "rc-", "rw-", "rd-", "rn-"];
        let named = |id: &&String| {
            let code = in_reports.iter().find_map(|prefix| id.strip_prefix(prefix));
            let said = format!("\"{}\"", code.unwrap_or(id));
            made.iter().any(|prefix| id.starts_with(prefix))
                || texts.iter().any(|text| text.contains(&said))
        };
        let unused: Vec<_> = zh.iter().filter(|id| !named(id)).collect();
        assert!(unused.is_empty(), "nobody says {unused:?}");
    }

    #[test]
    fn numbers_are_filled_in() {
        let said = Lang::Zh.say(
            "strip-waiting",
            &[("count", 3.into()), ("age", "2 小时前".into())],
        );
        assert_eq!(said, "待上报 3 条，最早一条 2 小时前");
    }
}
