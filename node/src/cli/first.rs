//! `lianxin` without a command, and `setup`: the pages of this computer in its browser, whatever there is of them yet. A node that runs gives a link; a
//! store whose node does not run is run; where there is no store, pages on loopback make one, and the node goes on in this process
//! at their address.
//!
//! What the pages ask for is carried out one at a time. Nothing counts before whoever sits there has agreed: of a join that was stopped, or
//! of a network whose card nobody has in hand, nothing is left.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::{Mutex, mpsc, oneshot, watch};

use super::service::{self, Ends, Start};
use super::{LOOPBACK, Output, complain, keep_offered, open, runtime, say, show};
use crate::accounts::{self, PasswordHash};
use crate::clock;
use crate::config::{Config, Overrides, own_address};
use crate::error::{Code, Error, Kind, Result, stopping};
use crate::logging;
use crate::setup::{self, HubInit, Recovery};
use crate::socket;
use crate::store::Store;
use crate::sync::join::{Joining, Line, Ticket};
use crate::web::first::{Ask, First, Met, Standing};
use crate::writer::Writer;

/// The port of a hub that is named without one.
const PORT: &str = ":7443";

/// Opens what there is.
pub(super) fn run(data: &Path) -> Result<u8> {
    let output = Output { json: false };
    if socket::connect(data).is_some() {
        return open(data, &output);
    }
    match Store::open(data) {
        Ok(_) => {}
        Err(error) if error.code() == Code::NotEnrolled => return set_up(data, output),
        Err(error) => return Err(error),
    }
    let start = Start {
        shown: true,
        ..Start::default()
    };
    match service::run(data, &begin(data)?, start) {
        // It was just being started.
        Err(error) if error.code() == Code::InUse => open(data, &output),
        ended => ended,
    }
}

/// Makes a store by the pages of the first run, and runs the node.
///
/// # Errors
/// [`Code::AlreadySetUp`] when there is one.
pub(super) fn set_up(data: &Path, output: Output) -> Result<u8> {
    match Store::open(data) {
        Err(error) if error.code() == Code::NotEnrolled => {
            let config = begin(data)?;
            runtime()?.block_on(serve(data, &config, output))
        }
        Err(error) => Err(error),
        Ok(_) => {
            let message = format!("{} has a store already", data.display());
            Err(Error::new(Code::AlreadySetUp, message))
        }
    }
}

/// The configuration of something that runs for long, which begins to log by it.
fn begin(data: &Path) -> Result<Config> {
    let config = Config::load(Some(data), &Overrides::default())?;
    logging::start(config.log.level, config.log.format);
    keep_offered();
    Ok(config)
}

/// Serves the first pages until there is a store, and then the node.
async fn serve(data: &Path, config: &Config, output: Output) -> Result<u8> {
    let mut ends = Ends::new()?;
    let pages = match First::bind(config.web.listen).await {
        Err(error) if error.code() == Code::Address && config.is_default("web.listen") => {
            First::bind(own_address(LOOPBACK)?).await?
        }
        bound => bound?,
    };
    tell(&pages.url()?, output)?;
    let (begin, mut begun) = mpsc::channel(1);
    let desk = Arc::new(Desk {
        directory: data.to_owned(),
        stands: Mutex::new(Stands::Nothing),
        begin,
    });
    let at_desk = Arc::clone(&desk);
    let door = move |ask: Ask| -> crate::web::first::Work {
        let desk = Arc::clone(&at_desk);
        Box::pin(async move { desk.ask(ask).await })
    };
    let (_keep, stop) = watch::channel(false);
    let told = {
        let hosts = &config.web.allow_hosts;
        tokio::select! {
            served = pages.serve(Arc::new(door), data, hosts, stop) => {
                served?;
                desk.leave().await?;
                complain("nobody has come for an hour: start it again when it is needed\n");
                return Ok(Kind::Partial.exit_code());
            }
            () = ends.come() => None,
            told = begun.recv() => told,
        }
    };
    let Some(told) = told else {
        desk.leave().await?;
        return Ok(0);
    };
    let start = Start {
        json: output.json,
        listener: Some(pages.into_listener()),
        told: Some(told),
        ..Start::default()
    };
    service::serve(&Store::open(data)?, data, config, start, &mut ends).await
}

/// Says where the pages are: to a program, to the desktop, or to a terminal.
fn tell(url: &str, output: Output) -> Result<()> {
    if output.json {
        let event = json!({ "schema": "lianxin.first-run/1", "event": "first-run", "url": url });
        return say(&format!("{event}\n"));
    }
    show(url);
    say(&format!(
        "This computer belongs to no network yet. Open this page in its browser:\n\n    {url}\n\n\
         It works once. Ctrl-C ends it.\n"
    ))
}

/// How far the first run has come, with what it holds.
enum Stands {
    Nothing,
    Met(Box<Joining>, Met),
    Drawn(Box<Recovery>),
    Made,
}

/// Carries out what the pages ask for.
struct Desk {
    directory: PathBuf,
    stands: Mutex<Stands>,
    /// Takes whoever waits for the link into the node's pages.
    begin: mpsc::Sender<oneshot::Sender<String>>,
}

impl Desk {
    async fn ask(&self, ask: Ask) -> Result<Standing> {
        let mut stands = self.stands.lock().await;
        match (ask, &mut *stands) {
            (Ask::See, _) => {}
            (Ask::Join { invite, hub }, Stands::Nothing) => {
                *stands = self.join(&invite, hub.as_deref()).await?;
            }
            (Ask::Draw { name, code }, Stands::Nothing) => {
                let recovery = Recovery::draw(&name, Some(&code))?;
                *stands = Stands::Drawn(Box::new(recovery));
            }
            (Ask::Stop, it @ (Stands::Met(..) | Stands::Drawn(_))) => {
                if let Stands::Met(joining, _) = std::mem::replace(it, Stands::Nothing) {
                    joining.abandon()?;
                }
            }
            (Ask::Agree, it @ Stands::Met(..)) => {
                if let Stands::Met(joining, _) = std::mem::replace(it, Stands::Nothing) {
                    joining.finish()?;
                    *it = Stands::Made;
                }
            }
            (Ask::Agree, it @ Stands::Drawn(_)) => {
                if let Stands::Drawn(recovery) = it {
                    self.found(recovery)?;
                }
                *it = Stands::Made;
            }
            (Ask::Begin { password }, Stands::Made) => {
                if let Some(password) = password {
                    self.set_password(password).await?;
                }
                let (told, link) = oneshot::channel();
                self.begin.send(told).await.map_err(|_| stopping())?;
                let url = link.await.map_err(|_| stopping())?;
                return Ok(Standing::Runs { url });
            }
            // A form of a step that is over: the page shows how it stands.
            (_, _) => {}
        }
        Ok(match &*stands {
            Stands::Nothing => Standing::Nothing,
            Stands::Met(_, met) => Standing::Met(met.clone()),
            Stands::Drawn(recovery) => Standing::Drawn(recovery.card().clone()),
            Stands::Made => Standing::Made,
        })
    }

    async fn join(&self, invite: &str, hub: Option<&str>) -> Result<Stands> {
        let ticket = Ticket::given(invite)?;
        let hub = hub.map(|hub| match hub.contains(':') {
            true => hub.to_owned(),
            false => format!("{hub}{PORT}"),
        });
        if let Some(hub) = &hub {
            crate::sync::is_address(hub)?;
        }
        let line = Line::to(hub.as_deref());
        let (joining, [network, site]) = service::meet(&self.directory, &ticket, line).await?;
        let text = |key: &str| {
            let text = joining.value.get(key).and_then(Value::as_str);
            text.unwrap_or_default().to_owned()
        };
        let words = joining.value.get("words").and_then(Value::as_array);
        let words = words.into_iter().flatten().filter_map(Value::as_str);
        let met = Met {
            site: if site.is_empty() { text("site") } else { site },
            device: text("device_code"),
            network,
            words: words.map(str::to_owned).collect(),
        };
        Ok(Stands::Met(Box::new(joining), met))
    }

    fn found(&self, recovery: &Recovery) -> Result<()> {
        setup::found(&self.directory, recovery, &HubInit::default()).map(drop)
    }

    /// Gives the first account its password.
    async fn set_password(&self, password: String) -> Result<()> {
        let directory = self.directory.clone();
        let set = tokio::task::spawn_blocking(move || {
            let hash = PasswordHash::new(&password)?;
            let mut writer = Writer::open(&Store::open(&directory)?)?;
            writer.transact(clock::now_ms(), |_, connection| {
                let nobody = || Error::new(Code::Internal, "a store without an account");
                let account = accounts::first(connection)?.ok_or_else(nobody)?;
                accounts::set_password(connection, &account.id, &hash)
            })
        });
        let broke = |error| Error::because(Code::Internal, "a password was not set", error);
        set.await.map_err(broke)?.map(drop)
    }

    /// Leaves nothing of what nobody has agreed to.
    async fn leave(&self) -> Result<()> {
        self.ask(Ask::Stop).await.map(drop)
    }
}
