use proptest::prelude::*;

use super::*;

fn usage(input: u64, read: u64, write_5m: u64, write_1h: u64, output: u64) -> Usage {
    Usage {
        input_tokens: TokenCount::new(input),
        cache_read_tokens: TokenCount::new(read),
        cache_write_5m_tokens: TokenCount::new(write_5m),
        cache_write_1h_tokens: TokenCount::new(write_1h),
        output_tokens: TokenCount::new(output),
        ..Usage::default()
    }
}

fn ask<'a>(table: &'a str, model: &'a str) -> PriceAsk<'a> {
    PriceAsk {
        table,
        model,
        on_unknown: OnUnknownPrice::Dearest,
    }
}

#[track_caller]
fn costs(table: &str, model: &str, usage: Usage, want: u64) {
    let priced = PriceBook::embedded().cost(&ask(table, model), &usage, &[]);
    assert_eq!(
        (priced.cost.get(), priced.by),
        (want, PricedBy::Book),
        "{model}"
    );
}

fn own(table: &str, model: &str, input: u64) -> PriceOverride {
    let rates = Rates {
        input: MicroUsdPerMtok::new(input),
        ..Rates::FREE
    };
    PriceOverride {
        table: table.to_owned(),
        model: ModelPattern::parse(model).unwrap(),
        rates,
    }
}

#[test]
fn the_book_is_well_formed() {
    let book = PriceBook::embedded();
    let tables = [
        "anthropic",
        "azure",
        "deepseek",
        "fireworks",
        "free",
        "google",
        "groq",
        "mistral",
        "openai",
        "openrouter",
        "together",
        "xai",
    ];
    assert_eq!(book.tables.keys().collect::<Vec<_>>(), tables);
    for (table, rows) in &book.tables {
        let mut names = rows
            .iter()
            .flat_map(|row| &row.models)
            .map(ModelPattern::as_str)
            .collect::<Vec<_>>();
        names.sort_unstable();
        assert!(
            names.windows(2).all(|pair| pair[0] != pair[1]),
            "{table} names a model twice"
        );
        for row in rows {
            assert!(
                !row.source.is_empty() && row.date.len() == 10,
                "{table}: {:?}",
                row.models
            );
            let long = row.rates.long_context.map(|long| row.rates.long(&long));
            for prices in [Some(row.rates.usual()), long].into_iter().flatten() {
                assert!(
                    prices.cache_read <= prices.input,
                    "{table}: {:?}",
                    row.models
                );
                assert!(
                    prices.cache_write_5m >= prices.input,
                    "{table}: {:?}",
                    row.models
                );
                assert!(
                    prices.cache_write_1h >= prices.cache_write_5m,
                    "{table}: {:?}",
                    row.models
                );
                // Per token instead of per million, or the other way round, is a factor of a million.
                assert!(
                    prices.input.get() <= 200_000_000,
                    "{table}: {:?}",
                    row.models
                );
                let is_priced = prices.input.get() >= 1_000
                    || table == "free"
                    || row.models[0].as_str().ends_with("free");
                assert!(is_priced, "{table}: {:?}", row.models);
            }
        }
    }
}

#[test]
fn each_class_has_its_own_price() {
    costs(
        "anthropic",
        "claude-opus-4-5",
        usage(1_000_000, 0, 0, 0, 0),
        5_000_000,
    );
    costs(
        "anthropic",
        "claude-opus-4-5",
        usage(0, 1_000_000, 0, 0, 0),
        500_000,
    );
    costs(
        "anthropic",
        "claude-opus-4-5",
        usage(0, 0, 1_000_000, 0, 0),
        6_250_000,
    );
    costs(
        "anthropic",
        "claude-opus-4-5",
        usage(0, 0, 0, 1_000_000, 0),
        10_000_000,
    );
    costs(
        "anthropic",
        "claude-opus-4-5",
        usage(0, 0, 0, 0, 1_000_000),
        25_000_000,
    );
}

#[test]
fn dated_names_cost_what_the_model_costs() {
    costs(
        "anthropic",
        "claude-opus-4-5-20251101",
        usage(1_000_000, 0, 0, 0, 0),
        5_000_000,
    );
    costs(
        "anthropic",
        "claude-opus-4-20250514",
        usage(1_000_000, 0, 0, 0, 0),
        15_000_000,
    );
    costs(
        "anthropic",
        "claude-sonnet-4-5-20250929",
        usage(1_000_000, 0, 0, 0, 0),
        3_000_000,
    );
    costs(
        "openai",
        "gpt-5-2025-08-07",
        usage(1_000_000, 0, 0, 0, 0),
        1_250_000,
    );
    costs(
        "openai",
        "gpt-5-mini-2025-08-07",
        usage(1_000_000, 0, 0, 0, 0),
        250_000,
    );
}

#[test]
fn classes_are_summed_before_they_are_rounded_up() {
    // 0.1 + 0.05 + 0.5 micro-dollars.
    costs("anthropic", "claude-haiku-5-5", usage(1, 5, 0, 0, 1), 1);
    costs("deepseek", "deepseek-flash", usage(0, 1, 0, 0, 0), 1);
    costs("deepseek", "deepseek-flash", usage(0, 1_000, 0, 0, 0), 6);
    costs("anthropic", "claude-haiku-5-5", usage(0, 0, 0, 0, 0), 0);
}

#[test]
fn a_long_input_changes_the_price_of_the_whole_request() {
    costs(
        "google",
        "gemini-2.5-pro",
        usage(200_000, 0, 0, 0, 1_000),
        250_000 + 10_000,
    );
    costs(
        "google",
        "gemini-2.5-pro",
        usage(200_001, 0, 0, 0, 1_000),
        500_003 + 15_000,
    );
    // Cache reads count as input for the threshold.
    costs(
        "google",
        "gemini-2.5-pro",
        usage(1, 200_000, 0, 0, 0),
        50_003,
    );
}

#[test]
fn searches_cost_by_the_request() {
    let searched = Usage {
        web_search_requests: TokenCount::new(3),
        ..Usage::default()
    };
    costs("anthropic", "claude-opus-4-5", searched, 30_000);
}

#[test]
fn reasoning_is_not_paid_twice() {
    let thought = Usage {
        reasoning_tokens: TokenCount::new(900),
        ..usage(0, 0, 0, 0, 1_000)
    };
    costs("openai", "o3", thought, 8_000);
}

#[test]
fn a_class_without_a_price_costs_what_it_falls_under() {
    let rates = Rates {
        input: MicroUsdPerMtok::new(1_000_000),
        ..Rates::FREE
    };
    assert_eq!(rates.cost(&usage(1, 1, 1, 1, 0)).get(), 4);
    let rates = Rates {
        cache_write_5m: Some(MicroUsdPerMtok::new(3_000_000)),
        ..rates
    };
    assert_eq!(rates.cost(&usage(0, 0, 0, 1, 0)).get(), 3);
}

#[test]
fn local_models_cost_nothing() {
    costs("free", "anything", usage(1_000_000, 0, 0, 0, 1_000_000), 0);
}

#[test]
fn unknown_models_follow_the_policy() {
    let book = PriceBook::embedded();
    let used = usage(1_000_000, 1_000_000, 0, 0, 0);
    let price = |on_unknown| {
        book.cost(
            &PriceAsk {
                on_unknown,
                ..ask("anthropic", "claude-next")
            },
            &used,
            &[],
        )
    };
    let dearest = price(OnUnknownPrice::Dearest);
    assert_eq!(
        (dearest.cost.get(), dearest.by),
        (15_000_000 + 1_500_000, PricedBy::UnknownDearest)
    );
    assert!(dearest.by.is_unknown());
    assert_eq!(price(OnUnknownPrice::Deny), dearest);
    let zero = price(OnUnknownPrice::Zero);
    assert_eq!((zero.cost.get(), zero.by), (0, PricedBy::UnknownZero));
}

#[test]
fn the_dearest_of_an_unknown_table_is_that_of_the_book() {
    let book = PriceBook::embedded();
    let everywhere = book.dearest("nowhere", &[]);
    for table in book.tables.keys() {
        assert!(book.dearest(table, &[]).input <= everywhere.input);
    }
}

#[test]
fn prices_of_ones_own_go_first_and_the_most_precise_wins() {
    let book = PriceBook::embedded();
    let overrides = [
        own("openai", "gpt-*", 1),
        own("openai", "gpt-5*", 2),
        own("openai", "gpt-5", 3),
        own("mine", "*", 4),
    ];
    for (table, model, want) in [
        ("openai", "gpt-5", (3, PricedBy::Override)),
        ("openai", "gpt-5-mini", (2, PricedBy::Override)),
        ("openai", "gpt-4.1", (1, PricedBy::Override)),
        ("openai", "o3", (2_000_000, PricedBy::Book)),
        ("mine", "anything", (4, PricedBy::Override)),
    ] {
        let (rates, by) = book.rates(table, model, &overrides).unwrap();
        assert_eq!((rates.input.get(), by), want, "{model}");
    }
    assert_eq!(book.dearest("mine", &overrides).input.get(), 4);
    assert!(book.has_table("mine", &overrides) && !book.has_table("mine", &[]));
}

#[test]
fn known_accounting_mistakes_are_not_made() {
    // Cache reads priced as input: five times what it cost.
    costs(
        "anthropic",
        "claude-sonnet-4-5",
        usage(10_000, 1_000_000, 0, 0, 0),
        30_000 + 300_000,
    );
    // One-hour writes priced as five-minute ones: a third too little.
    costs(
        "anthropic",
        "claude-sonnet-4-5",
        usage(0, 0, 0, 100_000, 0),
        600_000,
    );
}

proptest! {
    #[test]
    fn more_usage_never_costs_less(counts: [u32; 5], more in 0_usize..5, by: u32) {
        let book = PriceBook::embedded();
        let of = |counts: [u64; 5]| usage(counts[0], counts[1], counts[2], counts[3], counts[4]);
        let counts = counts.map(u64::from);
        let mut grown = counts;
        grown[more] += u64::from(by);
        for model in ["claude-haiku-5-5", "claude-opus-5", "unknown"] {
            let cost = |counts| book.cost(&ask("anthropic", model), &of(counts), &[]).cost;
            prop_assert!(cost(counts) <= cost(grown));
        }
    }

    #[test]
    fn rounding_is_up_and_by_less_than_one(counts: [u32; 5]) {
        let counts = counts.map(u64::from);
        let used = usage(counts[0], counts[1], counts[2], counts[3], counts[4]);
        let rates = PriceBook::embedded().rates("anthropic", "claude-sonnet-5-5", &[]).unwrap().0;
        let prices = [2_000_000_u128, 100_000, 2_500_000, 4_000_000, 10_000_000];
        let exact: u128 = counts.iter().zip(prices).map(|(count, price)| u128::from(*count) * price).sum();
        let cost = u128::from(rates.cost(&used).get()) * 1_000_000;
        prop_assert!(cost >= exact && cost - exact < 1_000_000);
    }

    #[test]
    fn the_largest_counts_saturate(count in any::<u64>()) {
        let used = usage(u64::MAX, count, u64::MAX, u64::MAX, u64::MAX);
        prop_assert_eq!(PriceBook::embedded().cost(&ask("openai", "o1"), &used, &[]).cost.get(), u64::MAX);
    }

    #[test]
    fn prices_print_and_parse(table in proptest::sample::select(vec!["anthropic", "google"])) {
        for row in &PriceBook::embedded().tables[table] {
            let text = serde_json::to_string(row).unwrap();
            prop_assert_eq!(&serde_json::from_str::<PriceRow>(&text).unwrap(), row);
        }
    }
}
