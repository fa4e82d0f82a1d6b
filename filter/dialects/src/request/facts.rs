//! Collects the facts of a body while it is walked.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use policy::surface::{Dialect, Surface};

use super::part::{Kind, Part, Parts, is_clients_tool};
use super::shapes::{Hint, Own, Place};
use super::values::{is_public, names_resource, names_stored};
use super::{
    BodyError, IncludeUsage, MAX_ID_BYTES, MAX_NESTED_MODELS, MAX_REFERENCES, ModelField,
    Reference, ReferenceField, RequestFacts, SessionHints,
};
use crate::json::{Closed, Container, Scalar, Span, Visitor};
use crate::response::whole_number;

/// Longest name of a member that is told.
const MAX_MEMBER_BYTES: usize = 64;

const BOOL: &str = "true or false";
const COUNT: &str = "a whole number";
const TEXT: &str = "a string";
const LIST: &str = "a list";
const OBJECT: &str = "an object";

/// The facts of a body that were read so far.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) facts: RequestFacts,
    pub(super) failed: Option<BodyError>,
    /// Items, parts, tools and skills that are open, outermost first.
    parts: Parts,
    /// The ids of those that are told, in the same order.
    ids: Vec<String>,
    /// The member that was met last among those that no shape names; empty if its name is not a plain one.
    member: String,
    /// Of each reference, so that many long ones with one beginning are not compared with one another.
    hashes: Vec<u64>,
}

impl Facts {
    pub(super) fn new(surface: Surface) -> Self {
        let facts = RequestFacts {
            surface,
            bytes: 0,
            model: None,
            nested_models: Vec::new(),
            stream: false,
            max_output_tokens: None,
            candidates: 1,
            background: false,
            store: None,
            references: Vec::new(),
            elsewhere: None,
            session: SessionHints::default(),
            items: 0,
            hosted_tools: false,
            include_usage: IncludeUsage::NoOptions(0),
        };
        Self {
            facts,
            failed: None,
            parts: Parts::new(),
            ids: Vec::new(),
            member: String::new(),
            hashes: Vec::new(),
        }
    }

    pub(super) fn check(&self) -> Result<(), BodyError> {
        self.failed.map_or(Ok(()), Err)
    }

    pub(super) fn complete(self) -> Result<RequestFacts, BodyError> {
        if self.facts.model.is_none() && self.facts.surface.dialect() != Dialect::Gemini {
            return Err(BodyError::Missing { field: "model" });
        }
        Ok(self.facts)
    }

    fn fail(&mut self, error: BodyError) {
        self.failed.get_or_insert(error);
    }

    fn wrong_type(&mut self, field: &'static str, expected: &'static str, at: u64) {
        self.fail(BodyError::WrongType {
            field,
            expected,
            at,
        });
    }

    fn model(&mut self, value: Scalar<'_>, span: Span) {
        let Scalar::Text { value, whole } = value else {
            return self.wrong_type("model", TEXT, span.start);
        };
        if !whole || value.len() > MAX_ID_BYTES {
            return self.fail(BodyError::TooLong {
                field: "model",
                at: span.start,
            });
        }
        if value.is_empty() {
            return self.fail(BodyError::Missing { field: "model" });
        }
        self.facts.model = Some(ModelField {
            value: value.to_owned(),
            span,
        });
    }

    fn nested_model(&mut self, value: &str, whole: bool, span: Span) {
        if !whole || value.len() > MAX_ID_BYTES {
            return self.fail(BodyError::TooLong {
                field: "model",
                at: span.start,
            });
        }
        if self.facts.nested_models.len() == MAX_NESTED_MODELS {
            return self.fail(BodyError::TooMany {
                field: "model",
                at: span.start,
            });
        }
        self.facts.nested_models.push(ModelField {
            value: value.to_owned(),
            span,
        });
    }

    fn flag(&mut self, field: &'static str, value: Scalar<'_>, span: Span) -> Option<bool> {
        match value {
            Scalar::Bool(flag) => Some(flag),
            Scalar::Null => None,
            Scalar::Number(_) | Scalar::Text { .. } => {
                self.wrong_type(field, BOOL, span.start);
                None
            }
        }
    }

    fn count(&mut self, field: &'static str, value: Scalar<'_>, span: Span) -> Option<u64> {
        let is_gemini = self.facts.surface.dialect() == Dialect::Gemini;
        let count = match value {
            Scalar::Null => return None,
            Scalar::Number(written) => whole_number(written),
            Scalar::Text { value, .. } if is_gemini => whole_number(value),
            Scalar::Text { .. } | Scalar::Bool(_) => None,
        };
        if count.is_none() {
            self.wrong_type(field, COUNT, span.start);
        }
        count
    }

    fn hint(&mut self, hint: Hint, value: Scalar<'_>) {
        let Scalar::Text { value, .. } = value else {
            return;
        };
        let session = &mut self.facts.session;
        let slot = match hint {
            Hint::AnthropicUserId => &mut session.anthropic_user_id,
            Hint::PromptCacheKey => &mut session.prompt_cache_key,
            Hint::User => &mut session.user,
            Hint::SafetyIdentifier => &mut session.safety_identifier,
        };
        *slot = Some(value.to_owned());
    }

    fn reference(&mut self, field: ReferenceField, id: &str, whole: bool, at: u64) {
        let is_nobodys = field == ReferenceField::FileUri && is_public(id);
        if is_nobodys || (id.is_empty() && field != ReferenceField::PreviousResponse) {
            return;
        }
        if !whole || id.len() > MAX_ID_BYTES {
            return self.fail(BodyError::TooLong {
                field: field.name(),
                at,
            });
        }
        self.refers(
            Reference {
                field,
                id: id.to_owned(),
                member: String::new(),
            },
            at,
        );
    }

    /// A member that no shape names is a reference, whatever its value.
    fn member_refers(&mut self, at: u64) {
        self.refers(
            Reference {
                field: ReferenceField::Member,
                id: String::new(),
                member: self.member.clone(),
            },
            at,
        );
    }

    fn refers(&mut self, reference: Reference, at: u64) {
        let mut hasher = DefaultHasher::new();
        reference.hash(&mut hasher);
        let hash = hasher.finish();
        let references = &mut self.facts.references;
        let mut known = self.hashes.iter().zip(references.iter());
        if known.any(|(other, known)| *other == hash && *known == reference) {
            return;
        }
        if references.len() == MAX_REFERENCES {
            return self.fail(BodyError::TooMany {
                field: reference.field.name(),
                at,
            });
        }
        self.hashes.push(hash);
        references.push(reference);
    }

    fn leads_elsewhere(&mut self, name: &'static str) {
        self.facts.elsewhere.get_or_insert(name);
    }

    fn begin_part(&mut self, place: Place, container: Container) {
        if container == Container::Object {
            self.parts.push(Part::new(place));
        }
    }

    fn part(&mut self) -> Option<&mut Part> {
        self.parts.last_mut()
    }

    fn has_own(&mut self, own: Own) {
        if let Some(part) = self.part() {
            part.has(own);
        }
    }

    fn part_ended(&mut self, place: Place, at: u64) {
        let Some(part) = self.parts.pop() else {
            return;
        };
        self.facts.hosted_tools |= matches!(place, Place::Tool) && part.runs_at_provider;
        if part.has_unread && !part.kind.hands_on() {
            let field = "type";
            self.fail(BodyError::Late { field, at });
        }
        let Some(at) = part.id_at else {
            return;
        };
        let id = if part.keeps_id {
            self.ids.pop().unwrap_or_default()
        } else {
            String::new()
        };
        let is_item = matches!(place, Place::Item);
        if matches!(place, Place::Skill) {
            let is_vendors = part.kind == Kind::Vendor && !id.starts_with("skill_");
            if !is_vendors && !id.starts_with("openai-") {
                self.reference(ReferenceField::Skill, &id, true, at);
            }
        } else if part.stands_for_another(is_item) {
            let field = if !is_item {
                ReferenceField::Part
            } else if part.kind == Kind::Reasoning {
                ReferenceField::Reasoning
            } else {
                ReferenceField::Item
            };
            let member = String::new();
            self.refers(Reference { field, id, member }, at);
        }
    }

    /// Notes an id that counts if its part has no content of its own; a part's own need not be kept.
    fn own_id(&mut self, field: ReferenceField, value: &str, whole: bool, at: u64) {
        if !whole || value.len() > MAX_ID_BYTES {
            let field = field.name();
            return self.fail(BodyError::TooLong { field, at });
        }
        if let Some(part) = self.part()
            && !value.is_empty()
        {
            let is_kept = part.keeps_id && part.id_at.is_none();
            part.id_at = Some(at);
            if is_kept {
                self.ids.push(value.to_owned());
            }
        }
    }

    /// Reads a scalar at a place where more than one kind of value may stand.
    fn other_scalar(&mut self, place: Place, value: Scalar<'_>, span: Span) {
        match (place, value) {
            (Place::Reference(field), Scalar::Text { value, whole }) => {
                self.reference(field, value, whole, span.start);
            }
            (Place::Reference(field), Scalar::Bool(_) | Scalar::Number(_)) => {
                self.wrong_type(field.name(), TEXT, span.start);
            }
            (Place::Messages(_), Scalar::Text { .. }) => self.facts.items = 1,
            (Place::Messages(field), Scalar::Bool(_) | Scalar::Number(_)) => {
                self.wrong_type(field, LIST, span.start);
            }
            (Place::Message | Place::Item, _) => self.facts.items += 1,
            (Place::Kind, Scalar::Text { value, whole }) => {
                if let Some(part) = self.part() {
                    part.kind = Kind::of(value);
                    part.runs_at_provider = !(whole && is_clients_tool(value));
                }
            }
            (Place::Role, Scalar::Text { .. }) => {
                if let Some(part) = self.part() {
                    part.has_role = true;
                }
            }
            (Place::OwnId, Scalar::Text { value, whole }) => {
                self.own_id(ReferenceField::Item, value, whole, span.start);
            }
            (Place::SkillId, Scalar::Text { value, whole }) => {
                self.own_id(ReferenceField::Skill, value, whole, span.start);
            }
            (Place::Skill, Scalar::Text { value, whole }) => {
                self.reference(ReferenceField::Skill, value, whole, span.start);
            }
            _ => {}
        }
    }

    /// Reads a text at a place that is judged by its member's name or by the text.
    fn judged_text(&mut self, place: Place, value: &str, whole: bool, span: Span) {
        let refers = (place == Place::Id && !value.is_empty())
            || (place == Place::Address && !value.is_empty() && !is_public(value))
            || (place == Place::Value && names_stored(value))
            || (place == Place::Label && names_resource(value));
        if refers {
            self.member_refers(span.start);
        } else if place == Place::NestedModel && !value.is_empty() {
            self.nested_model(value, whole, span);
        }
    }
}

impl Visitor for Facts {
    type Tag = Place;

    fn enters(&mut self, place: Place, _: Container, _: u64) -> bool {
        if !matches!(place, Place::HandedOn) {
            return true;
        }
        let Some(part) = self.part() else {
            return true;
        };
        part.has(Own::Made);
        part.has_unread |= part.kind.hands_on();
        !part.kind.hands_on()
    }

    fn unnamed(&mut self, parent: Place, place: Place, key: &[u8]) {
        let is_on_top = parent == Place::Body;
        self.facts.hosted_tools |= parent == Place::ToolByMember
            || (is_on_top && matches!(key, b"mcp_servers" | b"web_search_options"));
        if !matches!(
            place,
            Place::Id | Place::Address | Place::Value | Place::Label
        ) {
            return;
        }
        self.member.clear();
        let is_plain =
            |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'$');
        if key.len() <= MAX_MEMBER_BYTES && key.iter().all(is_plain) {
            self.member.extend(key.iter().map(|byte| char::from(*byte)));
        }
    }

    fn begin(&mut self, place: Place, container: Container, at: u64) {
        match place {
            Place::Body if container == Container::Object => {
                self.facts.include_usage = IncludeUsage::NoOptions(at.saturating_add(1));
            }
            Place::Body => self.wrong_type("body", OBJECT, at),
            Place::Message => self.facts.items += 1,
            Place::Item => {
                self.facts.items += 1;
                self.begin_part(place, container);
            }
            Place::Part | Place::Tool | Place::Skill => self.begin_part(place, container),
            Place::Messages(field) if container == Container::Object => {
                if self.facts.surface.dialect() == Dialect::Gemini {
                    self.facts.items += 1;
                } else {
                    self.wrong_type(field, LIST, at);
                }
            }
            Place::StreamOptions if container == Container::Array => {
                self.wrong_type("stream_options", OBJECT, at);
            }
            Place::StreamOptions => {
                let at = at.saturating_add(1);
                self.facts.include_usage = IncludeUsage::NoField {
                    at,
                    is_empty: false,
                };
            }
            Place::Hosted => self.facts.hosted_tools = true,
            Place::Model => self.wrong_type("model", TEXT, at),
            Place::Stream => self.wrong_type("stream", BOOL, at),
            Place::Background => self.wrong_type("background", BOOL, at),
            Place::Store => self.wrong_type("store", BOOL, at),
            Place::IncludeUsage => self.wrong_type("stream_options.include_usage", BOOL, at),
            Place::MaxTokens(field) | Place::Candidates(field) => self.wrong_type(field, COUNT, at),
            Place::NestedModel
            | Place::Messages(_)
            | Place::SkillId
            | Place::Kind
            | Place::Role
            | Place::OwnId
            | Place::Own(_)
            | Place::HandedOn
            | Place::ToolByMember
            | Place::Hint(_)
            | Place::Reference(_)
            | Place::Id
            | Place::Address
            | Place::Value
            | Place::Label
            | Place::Elsewhere(_)
            | Place::Way => {}
        }
    }

    fn end(&mut self, place: Place, closed: Closed) {
        match place {
            Place::Own(own) => {
                if own == Own::Made || !closed.is_empty {
                    self.has_own(own);
                }
            }
            Place::Elsewhere(name) => {
                if !closed.is_empty {
                    self.leads_elsewhere(name);
                }
            }
            Place::Item | Place::Part | Place::Tool | Place::Skill => {
                if closed.container == Container::Object {
                    self.part_ended(place, closed.span.start);
                }
            }
            Place::StreamOptions => {
                if let IncludeUsage::NoField { is_empty, .. } = &mut self.facts.include_usage {
                    *is_empty = closed.is_empty;
                }
            }
            Place::Body
            | Place::Model
            | Place::NestedModel
            | Place::Stream
            | Place::MaxTokens(_)
            | Place::Candidates(_)
            | Place::Background
            | Place::Store
            | Place::IncludeUsage
            | Place::Messages(_)
            | Place::Message
            | Place::SkillId
            | Place::Kind
            | Place::Role
            | Place::OwnId
            | Place::HandedOn
            | Place::Hosted
            | Place::ToolByMember
            | Place::Hint(_)
            | Place::Reference(_)
            | Place::Id
            | Place::Address
            | Place::Value
            | Place::Label
            | Place::Way => {}
        }
    }

    fn scalar(&mut self, place: Place, value: Scalar<'_>, span: Span) {
        match place {
            Place::Body => self.wrong_type("body", OBJECT, span.start),
            Place::Model => self.model(value, span),
            Place::Stream => {
                self.facts.stream = self.flag("stream", value, span).unwrap_or_default()
            }
            Place::Background => {
                self.facts.background = self.flag("background", value, span).unwrap_or_default()
            }
            Place::Store => self.facts.store = self.flag("store", value, span),
            Place::MaxTokens(field) => {
                let count = self.count(field, value, span);
                self.facts.max_output_tokens = self.facts.max_output_tokens.max(count);
            }
            Place::Candidates(field) => {
                let count = self.count(field, value, span).unwrap_or(1);
                self.facts.candidates = count.max(1);
            }
            Place::StreamOptions => {
                if value == Scalar::Null {
                    self.facts.include_usage = IncludeUsage::NullOptions(span);
                } else {
                    self.wrong_type("stream_options", OBJECT, span.start);
                }
            }
            Place::IncludeUsage => {
                self.facts.include_usage =
                    match self.flag("stream_options.include_usage", value, span) {
                        Some(true) => IncludeUsage::Asked,
                        Some(false) | None => IncludeUsage::Declined(span),
                    };
            }
            Place::Hint(hint) => self.hint(hint, value),
            Place::Id | Place::Address | Place::Value | Place::Label | Place::NestedModel => {
                if let Scalar::Text { value, whole } = value {
                    self.judged_text(place, value, whole, span);
                }
            }
            Place::Own(own) => {
                if says_something(value, span, own == Own::Made) {
                    self.has_own(own);
                }
            }
            Place::Hosted => {
                self.facts.hosted_tools |= value != Scalar::Null && value != Scalar::Bool(false);
            }
            Place::HandedOn => {
                if value != Scalar::Null {
                    self.has_own(Own::Made);
                }
            }
            Place::Elsewhere(name) => {
                if says_something(value, span, false) && value != Scalar::Bool(false) {
                    self.leads_elsewhere(name);
                }
            }
            Place::Messages(_)
            | Place::Message
            | Place::Item
            | Place::Part
            | Place::Tool
            | Place::Skill
            | Place::SkillId
            | Place::Kind
            | Place::Role
            | Place::OwnId
            | Place::ToolByMember
            | Place::Reference(_)
            | Place::Way => self.other_scalar(place, value, span),
        }
    }
}

/// Whether a scalar is more than nothing.
fn says_something(value: Scalar<'_>, span: Span, empty_counts: bool) -> bool {
    match value {
        Scalar::Null => false,
        Scalar::Text { .. } => empty_counts || span.end.saturating_sub(span.start) > 2,
        Scalar::Bool(_) | Scalar::Number(_) => true,
    }
}
