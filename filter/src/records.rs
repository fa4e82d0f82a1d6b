//! Exchange records as they travel.

use engine::guard::{Direction, GuardOutcome, Verdict};
use engine::{AttemptRecord, Ended, ExchangeRecord};
use policy::usage::Usage;
use wire::mesh;

/// Turns a record into its message.
pub(crate) fn message(record: ExchangeRecord) -> mesh::ExchangeRecord {
    let last = record.attempts.last();
    let ended = match record.ended {
        Ended::Complete => mesh::Ended::Complete,
        Ended::ClientGone => mesh::Ended::ClientGone,
        Ended::UpstreamError => mesh::Ended::UpstreamError,
        Ended::Refused => mesh::Ended::Refused,
        Ended::Running => mesh::Ended::Running,
    };
    mesh::ExchangeRecord {
        exchange_id: record.exchange.into_bytes().to_vec(),
        started_ms: record.started.as_millis(),
        surface: record
            .surface
            .map(|surface| surface.name().to_owned())
            .unwrap_or_default(),
        key_id: bytes(record.principal.key.map(policy::ids::KeyId::into_bytes)),
        user_id: bytes(record.principal.user.map(policy::ids::UserId::into_bytes)),
        team_id: bytes(record.principal.team.map(policy::ids::TeamId::into_bytes)),
        customer_id: bytes(
            record
                .principal
                .customer
                .map(policy::ids::CustomerId::into_bytes),
        ),
        client_app: record.client_app.to_owned(),
        session_id: record.session_id,
        agent_id: record.agent_id,
        client_request_ids: record.client_request_ids,
        device: String::new(),
        environment: record.principal.environment,
        region: String::new(),
        model_asked: record.model_asked,
        model_used: last
            .map(|attempt| attempt.model.clone())
            .unwrap_or_default(),
        provider: last
            .map(|attempt| attempt.provider.clone())
            .unwrap_or_default(),
        attempts: record.attempts.into_iter().map(attempt).collect(),
        status: u32::from(record.status),
        request_bytes: record.request_bytes,
        response_bytes: record.response_bytes,
        latency_ms: record.latency_ms,
        first_byte_ms: record.first_byte_ms,
        ended: ended.into(),
        refusal_code: record.refusal_code.to_owned(),
        refused_by: record.refused_by,
        streamed: record.streamed,
        unkeyed: record.unkeyed,
        subscription: record.subscription,
        path: record.path,
        created_ids: record.created_ids,
        item_marks: record.item_marks.iter().map(|mark| mark.to_vec()).collect(),
        guardrails: record.guardrails.into_iter().map(outcome).collect(),
    }
}

fn outcome(outcome: GuardOutcome) -> mesh::GuardOutcome {
    let direction = match outcome.direction {
        Direction::Request => mesh::GuardDirection::Request,
        Direction::Response => mesh::GuardDirection::Response,
    };
    let verdict = match outcome.verdict {
        Verdict::NotScanned => mesh::GuardVerdict::NotScanned,
        Verdict::Scanned => mesh::GuardVerdict::Scanned,
        Verdict::Observed => mesh::GuardVerdict::Observed,
        Verdict::Tokenised => mesh::GuardVerdict::Tokenised,
        Verdict::Redacted => mesh::GuardVerdict::Redacted,
        Verdict::Blocked => mesh::GuardVerdict::Blocked,
    };
    let findings = outcome.findings.into_iter();
    let not_scanned = outcome.not_scanned.into_iter();
    mesh::GuardOutcome {
        guardrail_id: outcome.guardrail.into_bytes().to_vec(),
        name: outcome.name,
        direction: direction.into(),
        verdict: verdict.into(),
        findings: findings
            .map(|finding| mesh::GuardFinding {
                rule: finding.rule,
                kind: finding.kind.to_owned(),
                severity: finding.severity.to_owned(),
                count: finding.count,
                paths: finding.paths,
                fingerprints: finding.fingerprints,
            })
            .collect(),
        unscanned: not_scanned
            .map(|unscanned| mesh::GuardUnscanned {
                why: unscanned.why.name().to_owned(),
                count: unscanned.count,
            })
            .collect(),
        texts: u64::from(outcome.texts),
    }
}

fn attempt(record: AttemptRecord) -> mesh::Attempt {
    mesh::Attempt {
        number: record.number,
        provider: record.provider,
        provider_key_id: bytes(
            record
                .provider_key
                .map(policy::ids::ProviderKeyId::into_bytes),
        ),
        model: record.model,
        status: u32::from(record.status),
        started_ms: record.started.as_millis(),
        headers_ms: record.headers_ms,
        usage: record.usage.map(|used| usage(&used)),
        estimated: record.estimated,
        key_refused: record.key_refused,
        price_table: record.price_table,
        request_ids: record.request_ids,
    }
}

fn usage(usage: &Usage) -> mesh::Usage {
    mesh::Usage {
        input_tokens: usage.input_tokens.get(),
        cache_read_tokens: usage.cache_read_tokens.get(),
        cache_write_5m_tokens: usage.cache_write_5m_tokens.get(),
        cache_write_1h_tokens: usage.cache_write_1h_tokens.get(),
        output_tokens: usage.output_tokens.get(),
        reasoning_tokens: usage.reasoning_tokens.get(),
        web_search_requests: usage.web_search_requests.get(),
    }
}

fn bytes(id: Option<[u8; 16]>) -> Vec<u8> {
    id.map(|id| id.to_vec()).unwrap_or_default()
}
