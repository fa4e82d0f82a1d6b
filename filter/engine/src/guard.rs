//! Guardrails at work: which apply to an exchange, what they find in its texts, and what becomes of it.
//!
//! A [`Guard`] is made once for each version of the policy and shared by all exchanges of a VM. While a body is read
//! its texts are scanned one by one ([`request`]); when it has been read and the targets are known, each finding is
//! judged under the guardrails that apply ([`verdict`]). Streams are judged while they pass ([`stream`]).

mod cache;
pub(crate) mod channel;
mod content;
mod evaluate;
mod found;
mod long;
pub(crate) mod outcome;
pub(crate) mod request;
pub(crate) mod restore;
pub(crate) mod stream;
pub mod token;
mod vault;
pub(crate) mod verdict;

use std::cell::RefCell;
use std::rc::Rc;

use detect::{Finding, Groups, Pattern, RuleSet, RuleSetBuilder, Scratch, WordMatcher};
use dialects::escape::unescape;
use policy::compiled::{Mesh, Principal};
use policy::guardrail::{
    Action, AllowRule, BlobId, CompiledGuardrail, Detector, NamedBlob, Subject,
};
use policy::ids::ExchangeId;
use policy::surface::Surface;
use policy::units::Timestamp;

use cache::FindingCache;
pub(crate) use content::Content;
use token::TokenKey;
use vault::Vault;

pub use evaluate::{Evaluated, Evaluation, evaluate};
pub use outcome::{Direction, GuardFinding, GuardOutcome, NotScanned, Place, Verdict, Why};
pub use token::{TokenMap, TokenScope};
pub use vault::Minted;

/// Why the guardrails of a policy cannot be enforced.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// A part of the policy that travels apart has not come or is damaged.
    #[error("guardrail `{guardrail}`: {what} `{name}` is not at hand")]
    Missing {
        guardrail: String,
        what: &'static str,
        name: String,
    },
    /// A rule that the service accepted and this build does not.
    #[error("guardrail `{guardrail}`: {because}")]
    Rules { guardrail: String, because: String },
    /// More different detectors than one set of rules can hold.
    #[error("the guardrails name more than {MAX_GROUPS} different detectors")]
    TooMany,
}

/// How long this VM works from its own memory after the vault has not answered.
const VAULT_PAUSE_MS: u64 = 5_000;

/// Different detectors of one mesh.
const MAX_GROUPS: usize = 64;

/// Counters of one VM.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GuardCounters {
    pub texts: u64,
    pub bytes: u64,
    pub cache_hits: u64,
    pub findings: u64,
    pub unknown_tokens: u64,
}

/// The guardrails of one version of the policy, ready to work.
#[derive(Debug)]
pub struct Guard {
    rules: RuleSet,
    rails: Vec<Rail>,
    tokens: TokenKey,
    /// What the guard was made from, to tell whether a new version needs another.
    made_from: MadeFrom,
    room: RefCell<Room>,
}

#[derive(Debug)]
struct MadeFrom {
    guardrails: Vec<CompiledGuardrail>,
    rule_files: Vec<NamedBlob>,
    word_lists: Vec<NamedBlob>,
    token_key: policy::secret::Secret,
}

/// What changes while the guard works.
#[derive(Debug)]
struct Room {
    scratch: Scratch,
    cache: FindingCache,
    vault: Vault,
    counters: GuardCounters,
}

/// A guardrail and where its detectors are in the set of rules.
#[derive(Debug)]
pub(crate) struct Rail {
    pub guardrail: CompiledGuardrail,
    stages: Vec<StageGroups>,
    groups: Groups,
    allow: Vec<Allow>,
}

#[derive(Debug)]
struct StageGroups {
    groups: Groups,
    /// Those whose findings are only ever observed.
    observing: Groups,
    action: Action,
}

#[derive(Debug)]
enum Allow {
    Value(Vec<u8>),
    Contains(Vec<u8>),
    Matches(Box<Pattern>),
}

/// The guardrails that apply to one exchange, in the order they are asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selection {
    rails: Vec<usize>,
    /// Those that apply but whose sample this exchange is not in.
    unsampled: Vec<usize>,
}

impl Selection {
    /// Whether no guardrail applies.
    pub(crate) fn is_empty(&self) -> bool {
        self.rails.is_empty() && self.unsampled.is_empty()
    }
}

impl Guard {
    /// Prepares the guardrails of `mesh`; `blob` finds the parts that travel apart, `seed` is random for the VM.
    ///
    /// # Errors
    /// [`GuardError`] if a guardrail cannot be enforced as it is meant; none is then.
    pub fn new(
        mesh: &Mesh,
        blob: &dyn Fn(&BlobId) -> Option<Vec<u8>>,
        seed: u64,
    ) -> Result<Self, GuardError> {
        let mut sources = Sources {
            mesh,
            blob,
            builder: RuleSetBuilder::default(),
            known: Vec::new(),
        };
        let mut rails = Vec::with_capacity(mesh.guardrails.len());
        for guardrail in &mesh.guardrails {
            rails.push(sources.rail(guardrail)?);
        }
        let rules = sources
            .builder
            .build()
            .map_err(|problem| GuardError::Rules {
                guardrail: String::new(),
                because: problem.to_string(),
            })?;
        Ok(Self {
            room: RefCell::new(Room {
                scratch: Scratch::new(),
                cache: FindingCache::new(seed),
                vault: Vault::default(),
                counters: GuardCounters::default(),
            }),
            rules,
            rails,
            tokens: TokenKey::new(&mesh.token_key),
            made_from: MadeFrom {
                guardrails: mesh.guardrails.clone(),
                rule_files: mesh.rule_files.clone(),
                word_lists: mesh.word_lists.clone(),
                token_key: mesh.token_key.clone(),
            },
        })
    }

    /// Whether this guard enforces what `mesh` says.
    pub fn is_for(&self, mesh: &Mesh) -> bool {
        let MadeFrom {
            guardrails,
            rule_files,
            word_lists,
            token_key,
        } = &self.made_from;
        *guardrails == mesh.guardrails
            && *rule_files == mesh.rule_files
            && *word_lists == mesh.word_lists
            && *token_key == mesh.token_key
    }

    /// Returns what has happened so far.
    pub fn counters(&self) -> GuardCounters {
        let room = self.room.borrow();
        GuardCounters {
            cache_hits: room.cache.hits,
            ..room.counters
        }
    }

    /// Runs each guardrail's canary text through its own detectors; returns whether it was found.
    pub fn prove(&self) -> Vec<(policy::ids::GuardrailId, bool)> {
        let prove = |rail: &Rail| {
            let canary = &rail.guardrail.canary;
            let mut found = Vec::new();
            self.scan(canary.text.as_bytes(), rail.groups, &mut found);
            let is_found = found
                .iter()
                .any(|finding| self.rule_id(finding) == canary.rule);
            (rail.guardrail.id, is_found)
        };
        self.rails.iter().map(prove).collect()
    }

    /// Selects the guardrails by what is known before the body is read.
    pub(crate) fn select(
        &self,
        exchange: ExchangeId,
        principal: &Principal,
        surface: Surface,
    ) -> Selection {
        let mut selection = Selection::default();
        for (place, rail) in self.rails.iter().enumerate() {
            let scope = &rail.guardrail.rules.scope;
            if !scope.covers_principal(principal) || !scope.covers_surface(surface) {
                continue;
            }
            if rail.guardrail.is_sampled(exchange) {
                selection.rails.push(place);
            } else {
                selection.unsampled.push(place);
            }
        }
        selection
    }

    /// Leaves those that apply to where the request goes.
    pub(crate) fn narrow(&self, selection: &mut Selection, subject: &Subject<'_>) {
        let covers = |place: &usize| {
            self.rails
                .get(*place)
                .is_some_and(|rail| rail.guardrail.rules.scope.covers(subject))
        };
        selection.rails.retain(covers);
        selection.unsampled.retain(covers);
    }

    /// Returns the detectors that are needed for one direction.
    pub(crate) fn groups(&self, selection: &Selection, direction: Direction) -> Groups {
        let rails = self.active(selection, direction);
        rails.fold(Groups::NONE, |groups, (_, rail)| {
            Groups(groups.0 | rail.groups.0)
        })
    }

    /// Returns the selected guardrails that look in one direction, with their places.
    pub(crate) fn active<'g>(
        &'g self,
        selection: &'g Selection,
        direction: Direction,
    ) -> impl Iterator<Item = (usize, &'g Rail)> {
        selection.rails.iter().filter_map(move |place| {
            let rail = self.rails.get(*place)?;
            rail.covers(direction).then_some((*place, rail))
        })
    }

    /// Returns those whose sample the exchange is not in.
    pub(crate) fn unsampled<'g>(
        &'g self,
        selection: &'g Selection,
        direction: Direction,
    ) -> impl Iterator<Item = (usize, &'g Rail)> {
        selection.unsampled.iter().filter_map(move |place| {
            let rail = self.rails.get(*place)?;
            rail.covers(direction).then_some((*place, rail))
        })
    }

    /// Whether values of requests may be tokenised, so that answers have to be restored.
    pub(crate) fn tokenises(&self, selection: &Selection) -> bool {
        let mut rails = self.active(selection, Direction::Request);
        rails.any(|(_, rail)| {
            let mut stages = rail.stages.iter();
            stages.any(|stage| stage.action == Action::Tokenise)
        })
    }

    pub(crate) fn rail(&self, place: usize) -> Option<&Rail> {
        self.rails.get(place)
    }

    pub(crate) fn tokens(&self) -> &TokenKey {
        &self.tokens
    }

    pub(crate) fn rules(&self) -> &RuleSet {
        &self.rules
    }

    pub(crate) fn rule_id(&self, finding: &Finding) -> &str {
        self.rules.rule(finding.rule).map_or("", |rule| &rule.id)
    }

    /// Scans a text that was read from nowhere in particular.
    pub(crate) fn scan(&self, text: &[u8], groups: Groups, out: &mut Vec<Finding>) {
        let mut room = self.room.borrow_mut();
        room.count(text.len());
        self.rules.scan(&mut room.scratch, text, groups, out);
    }

    /// Scans a text that stands under a name.
    pub(crate) fn scan_labelled(
        &self,
        text: &[u8],
        label: &str,
        groups: Groups,
        out: &mut Vec<Finding>,
    ) {
        let mut room = self.room.borrow_mut();
        room.count(text.len());
        self.rules
            .scan_labelled(&mut room.scratch, label, text, groups, out);
    }

    /// Scans the literal of a JSON string, or looks up what is known of it; `None` for no findings.
    ///
    /// `tenant` keeps what one tenant sent from being noticed by another through the time this takes.
    pub(crate) fn scan_literal(
        &self,
        raw: &[u8],
        label: &str,
        groups: Groups,
        tenant: u64,
    ) -> Option<Rc<[Finding]>> {
        let mut guard = self.room.borrow_mut();
        let room = &mut *guard;
        let key = room
            .cache
            .key(groups.0 ^ tenant.rotate_left(17), label, raw);
        if let Some(known) = key.and_then(|key| room.cache.get(key)) {
            return known;
        }
        room.count(raw.len());
        let text = unescape(raw);
        let mut findings = Vec::new();
        self.rules
            .scan_labelled(&mut room.scratch, label, &text, groups, &mut findings);
        let findings: Option<Rc<[Finding]>> = (!findings.is_empty()).then(|| findings.into());
        if let Some(key) = key {
            room.cache.put(key, findings.clone());
        }
        findings
    }

    /// Runs `action` with the scanner's working memory.
    pub(crate) fn with_scratch<T>(&self, action: impl FnOnce(&RuleSet, &mut Scratch) -> T) -> T {
        let mut room = self.room.borrow_mut();
        action(&self.rules, &mut room.scratch)
    }

    /// Counts bytes of a text that comes in pieces.
    pub(crate) fn count_scanned(&self, bytes: usize) {
        let counters = &mut self.room.borrow_mut().counters;
        counters.bytes = counters.bytes.saturating_add(bytes as u64);
    }

    pub(crate) fn count_findings(&self, findings: usize) {
        let counters = &mut self.room.borrow_mut().counters;
        counters.findings = counters.findings.saturating_add(findings as u64);
    }

    pub(crate) fn count_unknown_token(&self) {
        let counters = &mut self.room.borrow_mut().counters;
        counters.unknown_tokens = counters.unknown_tokens.saturating_add(1);
    }

    /// Remembers values and returns those that the service has not been told of.
    pub(crate) fn remember(&self, scope: &TokenScope, made: &[Minted]) -> Vec<Minted> {
        self.room.borrow_mut().vault.remember(scope, made)
    }

    /// Whether the service is to be asked for all tokens of a session: it is new to this VM, and the service answers.
    pub(crate) fn is_new_session(&self, scope: &TokenScope, now: Timestamp) -> bool {
        let room = self.room.borrow();
        !room.vault.knows(scope) && room.vault.silent_until <= now
    }

    /// Takes the service's answer about a session; `None` if there was none.
    pub(crate) fn learn(
        &self,
        scope: &TokenScope,
        found: Option<Vec<(String, policy::secret::Secret)>>,
        now: Timestamp,
    ) {
        let vault = &mut self.room.borrow_mut().vault;
        match found {
            Some(found) => vault.learn(scope, found),
            None => {
                let until = now.as_millis().saturating_add(VAULT_PAUSE_MS);
                vault.silent_until = Timestamp::from_millis(until);
            }
        }
    }

    /// Looks a token up in this VM's memory.
    pub(crate) fn recall(&self, scope: &TokenScope, token: &str) -> Option<policy::secret::Secret> {
        self.room.borrow().vault.recall(scope, token)
    }
}

impl Room {
    fn count(&mut self, bytes: usize) {
        self.counters.texts = self.counters.texts.saturating_add(1);
        self.counters.bytes = self.counters.bytes.saturating_add(bytes as u64);
    }
}

impl Rail {
    fn covers(&self, direction: Direction) -> bool {
        let side = self.guardrail.rules.direction;
        match direction {
            Direction::Request => side.covers_requests(),
            Direction::Response => side.covers_responses(),
        }
    }

    /// Whether a value is none of this guardrail's business.
    fn allows(&self, value: &[u8]) -> bool {
        self.allow.iter().any(|rule| match rule {
            Allow::Value(allowed) => allowed == value,
            Allow::Contains(part) => {
                let value = value.to_ascii_lowercase();
                memchr::memmem::find(&value, part).is_some()
            }
            Allow::Matches(pattern) => pattern.is_match(value),
        })
    }
}

/// What a set of rules is put together from.
struct Sources<'a> {
    mesh: &'a Mesh,
    blob: &'a dyn Fn(&BlobId) -> Option<Vec<u8>>,
    builder: RuleSetBuilder,
    /// Detectors that have a group; guardrails that name the same one share it.
    known: Vec<Detector>,
}

impl Sources<'_> {
    fn rail(&mut self, guardrail: &CompiledGuardrail) -> Result<Rail, GuardError> {
        let mut stages = Vec::with_capacity(guardrail.rules.stages.len());
        let mut all = Groups::NONE;
        for stage in &guardrail.rules.stages {
            let mut groups = Groups::NONE;
            let mut observing = Groups::NONE;
            for detector in &stage.detectors {
                let group = self.group(&guardrail.name, detector)?;
                groups = groups.with(group);
                if matches!(detector, Detector::Injection { acts: false }) {
                    observing = observing.with(group);
                }
            }
            all = Groups(all.0 | groups.0);
            stages.push(StageGroups {
                groups,
                observing,
                action: stage.action.clone(),
            });
        }
        let allow = guardrail.rules.allow.iter();
        Ok(Rail {
            guardrail: guardrail.clone(),
            stages,
            groups: all,
            allow: allow
                .map(|rule| allow_rule(&guardrail.name, rule))
                .collect::<Result<_, _>>()?,
        })
    }

    fn group(&mut self, guardrail: &str, detector: &Detector) -> Result<u8, GuardError> {
        if let Some(known) = self.known.iter().position(|known| known == detector) {
            return u8::try_from(known).map_err(|_large| GuardError::TooMany);
        }
        if self.known.len() == MAX_GROUPS {
            return Err(GuardError::TooMany);
        }
        let group = u8::try_from(self.known.len()).map_err(|_large| GuardError::TooMany)?;
        self.add(guardrail, group, detector)?;
        self.known.push(detector.clone());
        Ok(group)
    }

    fn add(&mut self, guardrail: &str, group: u8, detector: &Detector) -> Result<(), GuardError> {
        let added = match detector {
            Detector::Secrets { disabled_rules } => self.builder.secrets(group, disabled_rules),
            Detector::RuleFile {
                name,
                disabled_rules,
            } => {
                let bytes = self.part(guardrail, "rule file", &self.mesh.rule_files, name)?;
                let pack =
                    detect::RulePack::decode(&bytes).map_err(|problem| GuardError::Rules {
                        guardrail: guardrail.to_owned(),
                        because: problem.to_string(),
                    })?;
                self.builder.pack(group, &pack, disabled_rules)
            }
            Detector::Pii { entities } => self.builder.pii(group, entities),
            Detector::Words { list } => {
                let bytes = self.part(guardrail, "word list", &self.mesh.word_lists, list)?;
                let words =
                    WordMatcher::from_bytes(bytes).map_err(|problem| GuardError::Rules {
                        guardrail: guardrail.to_owned(),
                        because: problem.to_string(),
                    })?;
                self.builder.words(group, list, words)
            }
            Detector::Regex {
                id,
                pattern,
                group: capture,
            } => self
                .builder
                .regex(group, id, pattern, *capture, detect::Severity::High),
            Detector::HiddenText => self.builder.hidden_text(group),
            Detector::Injection { .. } => self.builder.injection(group),
            Detector::External { service, .. } => {
                return Err(GuardError::Rules {
                    guardrail: guardrail.to_owned(),
                    because: format!("the service `{service}` is of no kind that exists here"),
                });
            }
        };
        added.map_err(|problem| GuardError::Rules {
            guardrail: guardrail.to_owned(),
            because: problem.to_string(),
        })
    }

    fn part(
        &self,
        guardrail: &str,
        what: &'static str,
        parts: &[NamedBlob],
        name: &str,
    ) -> Result<Vec<u8>, GuardError> {
        let part = parts.iter().find(|part| part.name == name);
        part.and_then(|part| (self.blob)(&part.blob))
            .ok_or_else(|| GuardError::Missing {
                guardrail: guardrail.to_owned(),
                what,
                name: name.to_owned(),
            })
    }
}

fn allow_rule(guardrail: &str, rule: &AllowRule) -> Result<Allow, GuardError> {
    Ok(match rule {
        AllowRule::Value(value) => Allow::Value(value.as_bytes().to_vec()),
        AllowRule::Contains(part) => Allow::Contains(part.to_ascii_lowercase().into_bytes()),
        AllowRule::Regex(pattern) => {
            let compiled = Pattern::new(pattern).map_err(|problem| GuardError::Rules {
                guardrail: guardrail.to_owned(),
                because: problem.to_string(),
            })?;
            Allow::Matches(Box::new(compiled))
        }
    })
}
