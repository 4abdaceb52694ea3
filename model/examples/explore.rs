//! Explores.
fn main() {
    use model::*;
    use stateright::{Checker, Model};
    fn go<P: Explored>(b: Bounds) {
        let t = std::time::Instant::now();
        let c = Exploration::<P>::new(b)
            .checker()
            .timeout(std::time::Duration::from_secs(60))
            .spawn_dfs()
            .join();
        let rss = std::fs::read_to_string("/proc/self/status").unwrap();
        let rss = rss.lines().find(|l| l.starts_with("VmRSS")).unwrap().to_string();
        println!(
            "{} {b}: unique {} generated {} depth {} {:?} {rss}",
            P::NAME,
            c.unique_state_count(),
            c.state_count(),
            c.max_depth(),
            t.elapsed()
        );
        for (n, p) in c.discoveries() {
            println!("   {n}: {} steps", p.into_actions().len());
        }
    }
    let a: Vec<u8> = std::env::args().skip(1).map(|x| x.parse().unwrap()).collect();
    let b = Bounds::three().timeouts(a[0]).commands(a[1]).crashes(a[2]);
    go::<consensus_raft::Raft>(b);
    go::<consensus_multipaxos::MultiPaxos>(b);
}
