//! Whether one pattern of a policy matches everything that another one matches. `*` stands for any text, `?` for one character.

/// Whether whatever `narrow` matches is matched by `wide`, too. Says no where it cannot tell, which only `*` beside `?` can bring about.
pub(super) fn covers(wide: &str, narrow: &str) -> bool {
    let (wide, narrow): (Vec<char>, Vec<char>) = (wide.chars().collect(), narrow.chars().collect());
    // Which prefixes of `wide` match what has been read of `narrow`.
    let mut reached = vec![false; wide.len() + 1];
    let skip_stars = |reached: &mut Vec<bool>| {
        for (at, symbol) in wide.iter().enumerate() {
            if *symbol == '*' && reached.get(at).copied().unwrap_or_default() {
                set(reached, at + 1);
            }
        }
    };
    set(&mut reached, 0);
    skip_stars(&mut reached);
    for symbol in narrow {
        let mut next = vec![false; wide.len() + 1];
        for (at, here) in wide.iter().enumerate().filter(|(at, _)| reached.get(*at).copied().unwrap_or_default()) {
            match here {
                '*' => set(&mut next, at),
                '?' if symbol != '*' => set(&mut next, at + 1),
                same if *same == symbol => set(&mut next, at + 1),
                _ => {}
            }
        }
        skip_stars(&mut next);
        reached = next;
    }
    reached.last().copied().unwrap_or_default()
}

fn set(reached: &mut [bool], at: usize) {
    if let Some(place) = reached.get_mut(at) {
        *place = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_covers_what_is_narrower_and_nothing_else() {
        for (wide, narrow) in [
            ("*", "a"),
            ("*", "a*?"),
            ("a*", "a"),
            ("a*", "ab*"),
            ("a?c", "abc"),
            ("a*c", "a?b*c"),
            ("secretsmanager:*", "secretsmanager:get*"),
            ("arn:*:secret:prod/*", "arn:*:secret:prod/orders-??????"),
            ("prod/orders-*", "prod/orders-??????"),
            ("", ""),
        ] {
            assert!(covers(wide, narrow), "{wide} {narrow}");
        }
        for (wide, narrow) in [
            ("a", "*"),
            ("a?", "a*"),
            ("a?", "a"),
            ("ab*", "a*"),
            ("prod/orders-??????", "prod/orders-*"),
            ("prod/orders", "prod/orders2"),
            ("*a", "ab"),
            ("", "a"),
        ] {
            assert!(!covers(wide, narrow), "{wide} {narrow}");
        }
    }
}
