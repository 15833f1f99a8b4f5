//! Who sends: clients with a name, an agent, networks and a retry policy.
//!
//! A fixed crowd for each seed: services in data centres, apps on phones, browsers, and workers.
//! Phones and browsers share networks (carrier and office NAT), offices share an agent and leave
//! through several networks (a proxy), and a service may leave through two.

use super::Set;
use super::dice::Dice;
use super::policy::Policy;
use crate::audit::{Context, Label};

/// What kind of sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Service,
    Phone,
    Browser,
    Worker,
}

/// One sender.
#[derive(Debug, Clone)]
pub(super) struct Person {
    pub(super) kind: Kind,
    pub(super) scope: Label,
    pub(super) policy: Policy,
    client: Option<Label>,
    agent: Option<Label>,
    /// The networks it is in, one after the other or by turns.
    networks: Vec<Label>,
    /// Whether each request may come from another of its networks.
    pub(super) roams: bool,
}

const CROWD: usize = 3000;
const SCOPES: u64 = 400;

/// A label of its own for each thing that is named.
pub(super) fn label(space: &str, number: u64) -> Label {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in space.bytes().chain(number.to_le_bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    Label::new(Dice::new(hash).bits())
}

impl Person {
    /// A crowd, in which each kind has its share.
    pub(super) fn crowd(set: Set, dice: &mut Dice) -> Vec<Self> {
        (0..CROWD as u64).map(|number| Self::new(number, set, dice)).collect()
    }

    fn new(number: u64, set: Set, dice: &mut Dice) -> Self {
        let kinds =
            [(4.5, Kind::Service), (2.5, Kind::Phone), (2.0, Kind::Browser), (1.0, Kind::Worker)];
        let kind = dice.pick(&kinds).unwrap_or(Kind::Service);
        let policy = match kind {
            Kind::Worker => Policy::of_a_job(set, dice),
            _ => Policy::of_an_sdk(set, dice),
        };
        let behind_a_proxy = kind == Kind::Browser && dice.chance(0.15);
        let leaves_by_two = matches!(kind, Kind::Service | Kind::Worker) && dice.chance(0.08);
        let (client, agent, network) = match kind {
            Kind::Service | Kind::Worker => {
                let agent = label("library", policy as u64 * 8 + dice.below(8));
                (Some(label("service", number)), agent, label("rack", number))
            }
            Kind::Phone => {
                let agent = label("app", dice.below(30));
                (Some(label("app-name", dice.below(3))), agent, label("home", dice.below(900)))
            }
            Kind::Browser => {
                let agent = label("browser", dice.below(60));
                let client = dice.chance(0.5).then(|| label("web", dice.below(4)));
                (client, agent, label("home", dice.below(900)))
            }
        };
        let mut networks = vec![network];
        let mut agent = agent;
        if behind_a_proxy {
            let office = dice.below(12);
            networks = (0..3).map(|exit| label("office", office * 3 + exit)).collect();
            agent = label("office-browser", office);
        } else if leaves_by_two {
            networks.push(label("other-rack", number));
        } else if kind == Kind::Phone {
            networks.push(label("carrier", dice.below(40)));
        }
        let roams = behind_a_proxy || leaves_by_two;
        // A service may know nothing of a caller: an internal batch.
        let is_known = !(kind == Kind::Worker && dice.chance(0.08));
        Self {
            kind,
            scope: label("scope", dice.below(SCOPES)),
            policy,
            client: client.filter(|_| is_known),
            agent: is_known.then_some(agent),
            networks: if is_known { networks } else { Vec::new() },
            roams,
        }
    }

    /// Its context in its first network, or in the next one.
    pub(super) fn context(&self, moved: bool) -> Context {
        let network = if moved { self.networks.last() } else { self.networks.first() };
        Context {
            client: self.client,
            network: network.copied(),
            agent: self.agent,
            ..Context::default()
        }
    }

    /// The context of one request.
    pub(super) fn next_context(&self, moved: bool, dice: &mut Dice) -> Context {
        let mut context = self.context(moved);
        if self.roams {
            let at = dice.below(self.networks.len() as u64) as usize;
            context.network = self.networks.get(at).copied();
        }
        context
    }
}

/// How an attacker who captured a request looks when it is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Disguise {
    /// A tool of its own, from its own network.
    None,
    /// The same, but it names the captured client.
    ClientCopied,
    /// The captured agent, from its own network, as another client.
    AgentCopied,
    /// A tool of its own, from the victim's network.
    Inside,
    /// All that a request says of itself, from another network.
    AllButNetwork,
    /// Everything: nothing tells it from the victim.
    Everything,
}

impl Disguise {
    pub(super) fn draw(dice: &mut Dice) -> Self {
        dice.pick(&[
            (40.0, Self::None),
            (12.0, Self::ClientCopied),
            (14.0, Self::AgentCopied),
            (16.0, Self::Inside),
            (16.0, Self::AllButNetwork),
            (2.0, Self::Everything),
        ])
        .unwrap_or(Self::None)
    }

    /// The victim's context in this disguise.
    pub(super) fn of(self, victim: &Context, dice: &mut Dice) -> Context {
        let network = Some(label("hosting", dice.below(5000)));
        let tool = Some(label("tool", dice.below(20)));
        let own_client = dice.chance(0.3).then(|| label("rogue", dice.below(500)));
        let mut context = *victim;
        match self {
            Self::None => {
                context.network = network;
                context.agent = tool;
                context.client = own_client;
            }
            Self::ClientCopied => {
                context.network = network;
                context.agent = tool;
            }
            Self::AgentCopied => {
                context.network = network;
                context.client = Some(label("rogue", dice.below(500)));
            }
            Self::Inside => context.agent = tool,
            Self::AllButNetwork => context.network = network,
            Self::Everything => {}
        }
        context
    }
}
