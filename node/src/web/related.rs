//! Records that belong together, on the page of one: what refers to it, what is begun from there, and the
//! articles of a draft law with what was said of each.

use std::collections::{BTreeMap, BTreeSet};

use lianxin_protocol::catalogue::{self, Catalogue, Field};
use lianxin_protocol::space::Space;
use rusqlite::Connection;
use serde_json::Value;

use super::lines;
use super::list::Row;
use super::page::Page;
use crate::error::Result;
use crate::journal::{Books, Overview};
use crate::records::articles::{ARTICLES_MAX, PLACE, canonical, within};
use crate::records::delivery::Coverage;
use crate::records::sight::Sight;
use crate::records::{Listed, Record, referring_by_space, view};

/// Records of one kind that are shown on the page of another; of a draft's articles all are.
const ROWS: usize = 200;

/// Records of one kind that refer to the one on the page.
pub(super) struct Related {
    pub(super) code: String,
    pub(super) label: String,
    pub(super) rows: Vec<Row>,
    /// How many there are, if not all of them are shown.
    pub(super) more: Option<String>,
    /// Where one more is begun, and what is said there.
    pub(super) add: Option<Begin>,
    /// Where many are begun at once.
    pub(super) lines: Option<Begin>,
    /// They are the articles of a draft.
    pub(super) nested: bool,
    /// Some of its records stand under the articles; here are the others.
    pub(super) beside: bool,
    /// For the articles of a draft, instead of rows.
    pub(super) articles: Vec<Article>,
    /// How many came from each site that is asked, by name.
    pub(super) sites: Vec<OfSite>,
}

impl Related {
    /// Whether there is nothing yet, and all that can be done is to begin one.
    pub(super) fn only_begins(&self) -> bool {
        let nothing = self.rows.is_empty() && self.articles.is_empty() && self.sites.is_empty();
        nothing && !self.nested && !self.beside && self.lines.is_none() && self.add.is_some()
    }
}

/// How much came from a site.
pub(super) struct OfSite {
    pub(super) name: String,
    pub(super) said: String,
    /// Less than was asked for.
    pub(super) lacks: bool,
}

/// Where a new record is begun from another.
pub(super) struct Begin {
    pub(super) href: String,
    pub(super) said: String,
}

/// An article of a draft law with its comments.
pub(super) struct Article {
    pub(super) id: String,
    /// The chapter that begins with it.
    pub(super) chapter: String,
    pub(super) path: String,
    pub(super) text: String,
    pub(super) note: String,
    pub(super) comments: Vec<Row>,
    pub(super) add: Option<Begin>,
}

/// What refers to a record, by kind.
pub(super) fn of(
    connection: &Connection,
    books: &mut Books,
    record: &Record,
    page: &Page,
) -> Result<Vec<Related>> {
    let (Some(whole), Some(kind), true) = (&record.row, record.kind, record.sight.has_facts())
    else {
        return Ok(Vec::new());
    };
    let coverage = Coverage::of(books);
    let has_parts = kind.gathers.iter().any(|it| it.field.is_some());
    let most = if has_parts { ARTICLES_MAX } else { ROWS };
    let mut related: Vec<Related> = Vec::new();
    for found in record.related(connection, &page.actor, most)? {
        let (of, nested) = (found.kind, found.is_nested());
        // The pieces of what is kept are no reading.
        if !of.is_searched() {
            continue;
        }
        // What comments are on are articles. A draft that nobody may comment on any more stays as it is.
        let commented = |it: &catalogue::Gather| {
            let kind = Catalogue::current().kind(&it.kind);
            kind.is_some_and(|kind| kind.field(PLACE).is_some())
        };
        let articles_here = nested && kind.gathers.iter().any(commented);
        let grows = !articles_here || kind.is_open(&whole.status);
        let adds = found.gather.adds && grows && page.actor.creates(of);
        let add = adds.then(|| Begin {
            href: format!("/new/{}?from={}", of.code, whole.id.hyphenated()),
            said: page.with("related-add", page.label(&of.label)),
        });
        let lines = lines::path_of(found.gather, &whole.id.hyphenated());
        let lines = lines.filter(|_| adds).map(|href| Begin {
            href,
            said: page.t("lines"),
        });
        let asked = found.gather.by_site.is_some() && page.office();
        if found.rows.is_empty() && add.is_none() && !asked {
            continue;
        }
        let above = related.iter().any(|it| !it.articles.is_empty());
        let beside = above && of.field(PLACE).is_some();
        let mut entry = Related {
            code: of.code.clone(),
            label: if beside && found.gather.by_site.is_some() {
                page.t("related-whole")
            } else {
                page.label(&of.label).to_owned()
            },
            rows: Vec::new(),
            more: found
                .more
                .then(|| page.with("related-more", &most.to_string())),
            nested: articles_here,
            beside,
            add,
            lines,
            articles: Vec::new(),
            sites: match &found.gather.by_site {
                Some(by_site) if page.office() => {
                    of_sites(connection, books, whole, (found.gather, by_site), page)?
                }
                _ => Vec::new(),
            },
        };
        if articles_here {
            entry.articles = articles(connection, books, (&found, record.sight), page)?;
        } else {
            let places = (related.as_mut_slice(), &mut entry);
            sort(connection, books, &coverage, &found.rows, places, page)?;
        }
        related.push(entry);
    }
    Ok(related)
}

/// How many came from each site that is asked, in the order of their names.
fn of_sites(
    connection: &Connection,
    overview: &Overview,
    whole: &Listed,
    (gather, by_site): (&catalogue::Gather, &catalogue::BySite),
    page: &Page,
) -> Result<Vec<OfSite>> {
    let (authority, network) = (overview.authority(), &overview.identity().network);
    let field = Catalogue::current().kind(&whole.kind);
    let names = field.and_then(|kind| kind.field(&by_site.asked));
    let names = names.map(Field::names).unwrap_or_default();
    let mut asked = BTreeSet::new();
    let given = whole.fact(&by_site.asked).and_then(Value::as_array);
    for text in given.into_iter().flatten().filter_map(Value::as_str) {
        let row = crate::records::named(connection, text, names)?;
        let code = row.as_ref().and_then(|row| row.fact("code"));
        asked.extend(code.and_then(|code| authority.site_by_code(code.as_str()?)));
    }
    let quota = whole.fact(&by_site.quota).and_then(Value::as_u64);
    let of = (gather.kind.as_str(), gather.by.as_str());
    let counts = referring_by_space(connection, whole, of, &by_site.unless)?;
    let mut sites = Vec::new();
    for (id, site) in authority.sites() {
        let count = counts.get(&Space::Site(*id).id(network));
        let count = count.copied().unwrap_or_default();
        if asked.is_empty() || asked.contains(id) || count > 0 {
            let with = [
                ("count", count.into()),
                ("quota", quota.unwrap_or_default().into()),
            ];
            let word = if quota.is_some() {
                "of-site-asked"
            } else {
                "of-site"
            };
            sites.push(OfSite {
                name: site.name.clone(),
                said: page.lang.say(word, &with),
                lacks: quota.is_some_and(|quota| count < quota),
            });
        }
    }
    sites.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(sites)
}

/// Rows of what was found; a comment goes under its article, if that is here.
fn sort(
    connection: &Connection,
    overview: &Overview,
    coverage: &Coverage,
    found: &[Listed],
    (related, entry): (&mut [Related], &mut Related),
    page: &Page,
) -> Result<()> {
    // What a newer text does not have stands behind, and leaves its number to what does.
    let all = related.iter_mut().flat_map(|it| &mut it.articles).rev();
    let mut articles: BTreeMap<String, &mut Article> = all
        .map(|article| (canonical(&article.path), article))
        .collect();
    for row in found {
        let shown = Row::new(connection, overview, coverage, row, page)?;
        let shown = shown.with_columns(connection, row, page.lang)?;
        let path = row.fact(PLACE).and_then(Value::as_str);
        let place = path
            .and_then(|path| within(path, articles.keys().map(String::as_str)).map(str::to_owned));
        match place.and_then(|place| articles.get_mut(&place)) {
            Some(article) => article.comments.push(shown),
            None => entry.rows.push(shown),
        }
    }
    Ok(())
}

fn articles(
    connection: &Connection,
    books: &mut Books,
    (found, sight): (&view::Related, Sight),
    page: &Page,
) -> Result<Vec<Article>> {
    let comment = Catalogue::current().kind("legis_comment");
    let may = comment.filter(|comment| page.actor.creates(comment));
    let mut articles = Vec::with_capacity(found.rows.len());
    let (mut before, mut gone) = (String::new(), Vec::new());
    for (row, content) in found.contents(connection, books, (sight, &page.actor))? {
        let text = |key: &str| {
            let text = content.fields.get(key).and_then(Value::as_str);
            text.unwrap_or_default().to_owned()
        };
        let id = row.id.hyphenated();
        let chapter = text("chapter");
        let is_gone = content.fields.get("gone") == Some(&Value::Bool(true));
        let begins = if chapter == before || is_gone {
            ""
        } else {
            &chapter
        };
        let article = Article {
            chapter: begins.to_owned(),
            add: may.filter(|_| !is_gone).map(|comment| Begin {
                href: format!("/new/{}?from={id}", comment.code),
                said: page.t("article-comment"),
            }),
            path: text("path"),
            text: text("text"),
            note: if is_gone {
                page.t("article-gone")
            } else {
                text("note")
            },
            comments: Vec::new(),
            id,
        };
        if is_gone {
            gone.push(article);
        } else {
            articles.push(article);
            before = chapter;
        }
    }
    articles.append(&mut gone);
    Ok(articles)
}
