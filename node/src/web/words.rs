//! The words of the pages: zh-CN as source, English as second language, in fluent files (projectfluent.org)
//! that are part of the binary. Labels of kinds, fields and statuses are the catalogue's, not here.

use std::sync::LazyLock;

use axum::http::{HeaderMap, header};
use fluent_bundle::concurrent::FluentBundle;
use fluent_bundle::{FluentArgs, FluentResource, FluentValue};
use lianxin_protocol::catalogue::Label;
use unic_langid::LanguageIdentifier;

use super::page;

/// The language of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lang {
    /// 简体中文.
    Zh,
    /// English.
    En,
}

/// Name of the cookie with the language that was chosen last.
const CHOSEN: &str = "lianxin_language";

const ZH: &str = include_str!("../../locales/zh-CN.ftl");
const EN: &str = include_str!("../../locales/en.ftl");

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
    /// The language of a browser in which nobody is logged in: what was chosen there last, else the first of the two that it asks for.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        if let Some(chosen) = page::cookie(headers, CHOSEN).and_then(Self::parse) {
            return chosen;
        }
        let asked = headers.get(header::ACCEPT_LANGUAGE);
        let asked = asked.and_then(|asked| asked.to_str().ok());
        let mut asked = asked.unwrap_or_default().split(',').map(str::trim);
        asked.find_map(Self::parse).unwrap_or(Self::Zh)
    }

    /// A language by the beginning of its tag.
    pub(super) fn parse(tag: &str) -> Option<Self> {
        match tag.get(..2)? {
            "zh" => Some(Self::Zh),
            "en" => Some(Self::En),
            _ => None,
        }
    }

    /// The cookie by which a browser remembers it.
    pub(super) fn cookie(self) -> String {
        format!(
            "{CHOSEN}={}; Path=/; HttpOnly; SameSite=Strict; Max-Age=31536000",
            self.tag()
        )
    }

    /// The words for `id`; `id` itself when there are none, which a test rules out.
    pub(super) fn say(self, id: &str, with: &[(&str, FluentValue<'_>)]) -> String {
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
    pub(super) fn colon(self, label: &str) -> String {
        let mark = if self == Self::Zh { "：" } else { ": " };
        format!("{label}{mark}")
    }

    /// A label of the catalogue.
    pub(super) fn label(self, label: &Label) -> &str {
        match self {
            Self::Zh => &label.zh,
            Self::En => &label.en,
        }
    }

    /// The tag of `<html lang>` (BCP 47).
    pub(super) const fn tag(self) -> &'static str {
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
        for folder in ["templates", "src/web"] {
            for entry in std::fs::read_dir(root.join(folder)).into_iter().flatten() {
                let text = entry
                    .ok()
                    .and_then(|it| std::fs::read_to_string(it.path()).ok());
                texts.extend(text);
            }
        }
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
        ];
        let named = |id: &&String| {
            made.iter().any(|prefix| id.starts_with(prefix))
                || texts.iter().any(|text| text.contains(&format!("\"{id}\"")))
        };
        let unused: Vec<_> = zh.iter().filter(|id| !named(id)).collect();
        assert!(unused.is_empty(), "nobody says {unused:?}");
    }

    #[test]
    fn a_browser_is_answered_in_the_language_that_was_chosen_or_that_it_asks_for() {
        let of = |cookie: &str, accept: &str| {
            let mut headers = HeaderMap::new();
            for (name, value) in [(header::COOKIE, cookie), (header::ACCEPT_LANGUAGE, accept)] {
                headers.extend(value.parse().ok().map(|value| (name, value)));
            }
            Lang::of(&headers)
        };
        assert_eq!(of("", ""), Lang::Zh);
        assert_eq!(of("", "fr, en-GB;q=0.8, zh-CN;q=0.7"), Lang::En);
        assert_eq!(of("", "zh-CN,zh;q=0.9,en;q=0.8"), Lang::Zh);
        assert_eq!(of("a=b; lianxin_language=en", "zh-CN"), Lang::En);
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
