//! A schedule that is wrong is refused before anything starts, with the file, the line, and why.

use faults::{
    Capabilities, Kind, Schedule,
    schedule::{Feature, Support, Targets},
};

/// A schedule whose one step stands on lines 2 to 5.
fn with_step(step: &str) -> String {
    format!("name = \"test\"\n[[step]]\n{step}\n")
}

/// The line, the field and the reason of the refusal.
fn refusal(text: &str) -> (Option<usize>, String, String) {
    let error = Schedule::parse("my.toml", text).expect_err("it should have been refused");
    assert_eq!(error.file, "my.toml");
    let shown = error.to_string();
    let place = error.line.map_or("my.toml: ".to_owned(), |line| format!("my.toml:{line}: "));
    assert!(shown.starts_with(&place), "{shown}");
    (error.line, error.field, error.why)
}

#[track_caller]
fn refused(text: &str, line: usize, field: &str, why: &str) {
    let (at, what, reason) = refusal(text);
    assert_eq!((at, what.as_str()), (Some(line), field), "{reason}");
    assert!(reason.contains(why), "{reason}");
}

#[track_caller]
fn step_refused(step: &str, line: usize, field: &str, why: &str) {
    refused(&with_step(step), line, field, why);
}

#[test]
fn what_is_no_toml_is_refused_at_its_line() {
    let (line, _, _) = refusal("name = \"test\"\nnodes = = 5\n");
    assert_eq!(line, Some(2));
}

#[test]
fn unknown_fields_are_named() {
    refused("name = \"test\"\nnoodles = 5\n", 2, "noodles", "unknown field `noodles`");
    refused("name = \"a\"\n[load]\nrate = 5\nkees = 1\n", 4, "load.kees", "unknown field `kees`");
    let step =
        "at = { after = \"start\" }\nfault = { kind = \"crash\", target = \"leader\", aim = 1 }";
    step_refused(step, 4, "step[1].fault.aim", "unknown field `aim`");
}

#[test]
fn unknown_kinds_list_the_known_ones() {
    // `overload` is another name for `slow`, with the same fields.
    let step = "at = { after = \"start\" }\nfor = \"1s\"\nfault = { kind = \"overload\", target = \"leader\", much = 1 }";
    step_refused(step, 5, "step[1].fault.much", "unknown field `much`");
    let step = "at = { after = \"start\" }\nfault = { kind = \"meteor\" }";
    step_refused(step, 4, "step[1].fault.kind", "crash");
    let step = "at = { after = \"start\" }\nfault = { target = \"leader\" }";
    step_refused(step, 4, "step[1].fault", "kind");
}

#[test]
fn changes_of_the_members_and_lost_disks_must_make_sense() {
    let step = |fault: &str| format!("at = {{ after = \"start\" }}\nfault = {{ {fault} }}");
    for good in [
        "kind = \"reconfigure\", add = 2",
        "kind = \"reconfigure\", add = 1, remove = \"leader\"",
        "kind = \"transfer\"",
        "kind = \"transfer\", to = \"one-follower\"",
        "kind = \"restart\", target = \"in-turn\", disk = \"lost\"",
    ] {
        Schedule::parse("good.toml", &with_step(&step(good))).unwrap();
    }
    let refused = |fault: &str, field: &str, why: &str| {
        step_refused(&step(fault), 4, &format!("step[1].{field}"), why);
    };
    refused("kind = \"reconfigure\"", "fault", "adds somebody");
    refused("kind = \"reconfigure\", remove = \"all\"", "fault.remove", "nobody would be left");
    refused("kind = \"reconfigure\", add = -1", "fault.add", "invalid value");
    refused("kind = \"transfer\", to = \"minority\"", "fault.to", "one replica leads");
    let lost = "kind = \"restart\", target = \"minority\", disk = \"lost\"";
    refused(lost, "fault.target", "one at a time");
    let burnt = "kind = \"restart\", target = \"leader\", disk = \"burnt\"";
    refused(burnt, "fault.disk", "unknown variant `burnt`");
    let lasting = "at = { after = \"start\" }\nfor = \"1s\"\nfault = { kind = \"transfer\" }";
    step_refused(lasting, 4, "step[1].for", "as long as the cluster takes");
    let small = with_step(&step("kind = \"restart\", target = \"leader\", disk = \"lost\""));
    let small = small.replace("[[step]]", "nodes = 2\n[[step]]");
    field_refused(&small, "step[1].fault.disk", "no majority");
    let many = with_step(&step("kind = \"reconfigure\", add = 95"));
    field_refused(&many, "step", "more than 99");
}

#[test]
fn faults_of_disks_and_clocks_must_make_sense() {
    let step =
        |fault: &str| format!("at = {{ after = \"start\" }}\nfor = \"1s\"\nfault = {{ {fault} }}");
    for (good, kind) in [
        (
            "kind = \"disk\", target = \"all\", effect = \"slow\", sync = \"20ms~5ms\"",
            Kind::SlowDisk,
        ),
        ("kind = \"disk\", target = \"leader\", effect = \"stall\"", Kind::StalledDisk),
        ("kind = \"disk\", target = \"minority\", effect = \"error\"", Kind::DiskError),
        ("kind = \"disk\", target = \"actor\", effect = \"full\"", Kind::FullDisk),
        ("kind = \"disk\", target = \"stalest\", effect = \"torn\"", Kind::TornRecord),
        ("kind = \"disk\", target = \"in-turn\", effect = \"rot\"", Kind::BitRot),
        ("kind = \"clock\", target = \"leader\", rate = -200000", Kind::ClockRate),
        ("kind = \"clock\", target = \"leader\", jump = \"-2s\"", Kind::ClockJump),
    ] {
        let text = with_step(&step(good)).replace("\"start\"", "\"voted\"");
        let text = if kind == Kind::ClockJump { text.replace("for = \"1s\"\n", "") } else { text };
        let schedule = Schedule::parse("good.toml", &text).unwrap();
        assert_eq!(schedule.steps[0].fault.kind(), kind);
        assert_eq!(Schedule::parse("again.toml", &schedule.to_toml()).unwrap(), schedule);
    }
    let refused = |fault: &str, field: &str, why: &str| {
        step_refused(&step(fault), 5, &format!("step[1].fault{field}"), why);
    };
    let disk = |rest: &str| format!("kind = \"disk\", target = \"leader\", effect = {rest}");
    refused(&disk("\"rust\""), ".effect", "unknown variant `rust`");
    refused(&disk("\"slow\""), "", "how much longer each sync takes");
    refused(&disk("\"slow\", sync = \"1ms~2ms\""), ".sync", "end before it began");
    refused(&disk("\"stall\", sync = \"1ms\""), ".sync", "only the effect `slow`");
    refused(&disk("\"stall\", disk = \"lost\""), ".disk", "unknown field `disk`");
    let rot = disk("\"rot\"").replace("leader", "minority");
    refused(&rot, ".target", "one at a time");
    let clock = |rest: &str| format!("kind = \"clock\", target = \"leader\"{rest}");
    refused(&clock(""), "", "either jumps");
    refused(&clock(", jump = \"1s\", rate = 1"), "", "either jumps");
    refused(&clock(", rate = -900001"), ".rate", "parts per million");
    refused(&clock(", rate = \"fast\""), ".rate", "invalid type");
    let jump = step(&clock(", jump = \"1s\""));
    step_refused(&jump, 4, "step[1].for", "a clock-jump happens in an instant");
    let endless = step(&disk("\"stall\"")).replace("for = \"1s\"\n", "");
    step_refused(&endless, 2, "step[1]", "a stalled-disk without `for` would never be healed");
    let small = with_step(&step(&disk("\"rot\""))).replace("[[step]]", "nodes = 2\n[[step]]");
    field_refused(&small, "step[1].fault.effect", "no majority");
}

#[track_caller]
fn field_refused(text: &str, field: &str, why: &str) {
    let (_, what, reason) = refusal(text);
    assert_eq!(what, field, "{reason}");
    assert!(reason.contains(why), "{reason}");
}

#[test]
fn what_a_schedule_sets_is_checked() {
    refused(
        "name = \"a\"\n[settings]\nsnapshot_after = \"64KB\"",
        3,
        "settings.snapshot_after",
        "unit",
    );
    refused(
        "name = \"a\"\n[settings]\nsnapshot_after = \"0B\"",
        3,
        "settings.snapshot_after",
        "for ever",
    );
    refused("name = \"a\"\n[settings]\nsnapshots = 1", 3, "settings.snapshots", "unknown field");
}

#[test]
fn wrong_types_are_refused_where_they_stand() {
    refused("name = \"test\"\nnodes = \"five\"\n", 2, "nodes", "invalid type");
    refused("name = \"test\"\nnodes = 0\n", 2, "nodes", "nonzero");
    let table = "at = { after = \"start\" }\nfor = \"1s\"\n[step.fault]\nkind = \"link\"\nfrom = \"all\"\nto = \"all\"\ndrop = \"much\"";
    step_refused(table, 9, "step[1].fault.drop", "invalid type");
}

#[test]
fn times_are_written_with_units() {
    let step =
        "at = { after = \"start\", plus = \"5\" }\nfault = { kind = \"crash\", target = \"all\" }";
    step_refused(step, 3, "step[1].at.plus", "is no time");
    let step =
        "at = { after = \"start\" }\nfor = \"48h\"\nfault = { kind = \"pause\", target = \"all\" }";
    step_refused(step, 4, "step[1].for", "at most 24h");
    let step =
        "at = { after = \"start\" }\nfor = \"0s\"\nfault = { kind = \"pause\", target = \"all\" }";
    step_refused(step, 4, "step[1].for", "before it began");
}

#[test]
fn what_would_never_be_healed_is_refused() {
    for fault in [
        "kind = \"pause\", target = \"leader\"",
        "kind = \"slow\", target = \"leader\"",
        "kind = \"load\", factor = 2",
        "kind = \"partition\", shape = \"halves\"",
        "kind = \"link\", from = \"all\", to = \"all\", drop = 0.1",
    ] {
        let step = format!("at = {{ after = \"start\" }}\nfault = {{ {fault} }}");
        step_refused(&step, 2, "step[1]", "never be healed");
    }
    let endless = "name = \"a\"\n[[step]]\nid = \"x\"\nat = { after = \"start\" }\n\
        fault = { kind = \"crash\", target = \"leader\" }\n[[step]]\n\
        at = { after = \"x.done\" }\nfault = { kind = \"put\", key = \"a\", value = \"b\" }\n";
    refused(endless, 7, "step[2].at.after", "never done");
}

#[test]
fn steps_wait_for_what_exists_and_not_for_themselves() {
    let put = "fault = { kind = \"put\", key = \"a\", value = \"b\" }";
    step_refused(
        &format!("at = {{ after = \"ghost.done\" }}\n{put}"),
        3,
        "step[1].at.after",
        "no step `ghost`",
    );
    step_refused(
        &format!("at = {{ after = \"dawn\" }}\n{put}"),
        3,
        "step[1].at.after",
        "nothing to wait for",
    );
    step_refused(
        &format!("at = {{ after = \"start\", count = 2 }}\n{put}"),
        3,
        "step[1].at.count",
        "cannot be counted",
    );
    let circle = format!(
        "name = \"a\"\n[[step]]\nid = \"x\"\nat = {{ after = \"y.done\" }}\n{put}\n\
         [[step]]\nid = \"y\"\nat = {{ after = \"x.start\" }}\n{put}\n"
    );
    refused(&circle, 4, "step[1].at.after", "waits for itself");
    let twins = format!(
        "name = \"a\"\n[[step]]\nid = \"x\"\nat = {{ after = \"start\" }}\n{put}\n[[step]]\nid = \"x\"\nat = {{ after = \"start\" }}\n{put}\n"
    );
    refused(&twins, 7, "step[2].id", "two steps");
}

#[test]
fn repetitions_must_not_overlap() {
    let crash = "at = { after = \"start\" }\nfault = { kind = \"crash\", target = \"leader\" }\nfor = \"5s\"\n";
    step_refused(
        &format!("{crash}repeat = {{ times = 3, every = \"4s\" }}"),
        6,
        "step[1].repeat.every",
        "lasts 5s",
    );
    step_refused(
        &format!("{crash}repeat = {{ times = 0, every = \"4s\" }}"),
        6,
        "step[1].repeat.times",
        "nonzero",
    );
    step_refused(
        &format!("{crash}repeat = {{ times = 10000, every = \"1h\" }}"),
        6,
        "step[1].repeat.every",
        "a day",
    );
}

#[test]
fn targets_must_exist_in_a_cluster_of_that_size() {
    let crash = |target: &str| {
        format!("at = {{ after = \"start\" }}\nfault = {{ kind = \"crash\", target = {target} }}")
    };
    step_refused(&crash("\"node 6\""), 4, "step[1].fault.target", "a cluster of 5 has no `node 6`");
    step_refused(&crash("\"king\""), 4, "step[1].fault.target", "`king` is no target");
    step_refused(&crash("[]"), 4, "step[1].fault.target", "nobody");
    step_refused(&crash("\"actor\""), 4, "step[1].fault.target", "no `actor`");
    let five = format!("[{}]", ["\"one-follower\""; 5].join(", "));
    step_refused(&crash(&five), 4, "step[1].fault.target", "no 5 followers");

    let six = with_step(&crash("\"node 6\"")).replace("\n[[", "\nnodes = 7\n[[");
    let schedule = Schedule::parse("my.toml", &six).unwrap();
    let smaller = schedule.with_nodes(3.try_into().unwrap()).unwrap_err();
    assert!(smaller.to_string().contains("a cluster of 3 has no `node 6`"), "{smaller}");
}

#[test]
fn shares_lie_between_zero_and_one() {
    refused("name = \"a\"\n[load]\nreads = 1.5\n", 3, "load.reads", "between 0 and 1");
    refused("name = \"a\"\n[load]\nrate = -1\n", 3, "load.rate", "no rate");
    refused("name = \"a\"\n[load.mix]\nput = 0.9\n", 2, "load.mix", "sum to");
    let link = |fields: &str| {
        format!(
            "at = {{ after = \"start\" }}\nfor = \"1s\"\nfault = {{ kind = \"link\", from = \"all\", to = \"all\"{fields} }}"
        )
    };
    step_refused(&link(", drop = 1.01"), 5, "step[1].fault.drop", "between 0 and 1");
    step_refused(&link(", corrupt = nan"), 5, "step[1].fault.corrupt", "between 0 and 1");
    step_refused(&link(", delay = \"5ms~10ms\""), 5, "step[1].fault.delay", "before it was sent");
    step_refused(&link(""), 5, "step[1].fault", "nothing is wrong");
    let slow = "at = { after = \"start\" }\nfor = \"1s\"\nfault = { kind = \"slow\", target = \"leader\", share = 1.0 }";
    step_refused(slow, 5, "step[1].fault.share", "not slowed at all");
    let slow = slow.replace("share = 1.0", "period = \"3ns\"");
    step_refused(&slow, 5, "step[1].fault.period", "once in 1ms");
}

#[test]
fn partitions_cut_what_is_there() {
    let cut = |fields: &str| {
        format!(
            "at = {{ after = \"start\" }}\nfor = \"1s\"\nfault = {{ kind = \"partition\", {fields} }}"
        )
    };
    step_refused(&cut("shape = \"isolate\""), 5, "step[1].fault", "needs a `target`");
    step_refused(
        &cut("shape = \"isolate\", target = \"all\""),
        5,
        "step[1].fault.target",
        "nobody",
    );
    step_refused(
        &cut("shape = \"ring\", target = \"leader\""),
        5,
        "step[1].fault.target",
        "no target",
    );
    step_refused(
        &cut("shape = \"groups\", groups = [[1, 2], [2, 3]]"),
        5,
        "step[1].fault.groups",
        "twice",
    );
    step_refused(
        &cut("shape = \"groups\", groups = [[1, 9]]"),
        5,
        "step[1].fault.groups",
        "no node 9",
    );
    step_refused(&cut("shape = \"links\", links = [[1, 1]]"), 5, "step[1].fault.links", "itself");
    step_refused(
        &cut("shape = \"halves\", links = [[1, 2]]"),
        5,
        "step[1].fault.links",
        "only the shape",
    );
    for wrong in ["leader", "minority", "all"] {
        let target = format!("shape = \"chained\", target = \"{wrong}\"");
        step_refused(&cut(&target), 5, "step[1].fault.target", "one other");
    }
    let loss = with_step(&cut("shape = \"quorum-loss\"")).replace("\n[[", "\nnodes = 3\n[[");
    refused(&loss, 6, "step[1].fault.shape", "too small");
    let ring = with_step(&cut("shape = \"ring\"")).replace("\n[[", "\nnodes = 3\n[[");
    refused(&ring, 6, "step[1].fault.shape", "too small");
}

#[test]
fn bounds_are_set_on_what_is_measured() {
    let text = "name = \"a\"\n[expect]\nslo = { \"elections.p95\" = \"1s\" }\n";
    let (line, field, why) = refusal(text);
    assert_eq!(line, Some(3));
    assert!(field.starts_with("expect.slo"), "{field}");
    assert!(why.contains("election"), "{why}");
    let text = "name = \"a\"\n[expect]\nalways = [\"linearisable\"]\n";
    refused(text, 3, "expect.always[1]", "linearizable");
}

#[test]
fn defaults_are_filled_in_and_written_out() {
    let text = with_step(
        "at = { after = \"start\" }\nfault = { kind = \"crash\", target = [\"leader\", \"one-follower\"] }",
    );
    let schedule = Schedule::parse("my.toml", &text).unwrap();
    assert_eq!((schedule.nodes.get(), schedule.steps[0].id.as_str()), (5, "step-1"));
    let again = Schedule::parse("again.toml", &schedule.to_toml()).unwrap();
    assert_eq!(again, schedule);
}

#[test]
fn a_target_refuses_what_it_cannot_do() {
    let schedule = Schedule::bundled("unresponsive-peer").unwrap();
    assert_eq!(schedule.unsupported_on(Capabilities::new(|_| Support::Done("yes"))), []);
    let refused = schedule.unsupported_on(Capabilities::new(|feature| match feature {
        Feature::Kind(Kind::Pause) => Support::Refused("nobody may be frozen"),
        _ => Support::Done("yes"),
    }));
    assert_eq!(refused.len(), 2);
    for part in ["leader-freezes", "`pause`", "nobody may be frozen"] {
        assert!(refused[0].to_string().contains(part), "{}", refused[0]);
    }
}

#[test]
fn targets_show_as_they_are_written() {
    let words = [
        "leader",
        "one-follower",
        "stalest",
        "actor",
        "dead",
        "in-turn",
        "minority",
        "minority-with-leader",
        "majority",
        "all",
        "node 3",
    ];
    for word in words {
        let targets = Targets(vec![word.parse().unwrap()]);
        assert_eq!(targets.to_string(), word);
    }
}
