"""curation.execution.doctor: what is said of facts that were made up."""

import errno
from dataclasses import replace

import pytest

from curation.core.words import counted
from curation.execution.doctor import files, network, resources, software
from curation.execution.doctor.between import Exchange, Rereading
from curation.execution.doctor.facts import Facts, Gpu, Interface, Space, Torch
from curation.execution.doctor.findings import Finding, named

LOOPBACK = Interface("lo", ("127.0.0.1", "::1"), is_up=True, megabits=0)
ETHERNET = Interface("eth0", ("10.0.0.1",), is_up=True, megabits=1000)
INFINIBAND = Interface("ib0", ("10.1.0.1",), is_up=True, megabits=100_000)
DOCKER = Interface("docker0", ("172.17.0.1",), is_up=True, megabits=1_000_000)
DISK = Space("/shared", 10**12, 10**11, 10**6)
VERSIONS = {
    "python": "3.11.7",
    "curation": "0.1.0 (abcd)",
    "dask": "1",
    "distributed": "1",
    "torch": "2.1+cpu",
    "cudf": "",
}
LIMITS = {
    "open files": (20_000, 20_000),
    "processes": (-1, -1),
    "locked memory": (8192, -1),
    "core size": (0, -1),
    "file size": (-1, -1),
}
GPU = Gpu(0, "H100", "GPU-aaaa", 80 * 10**9, 79 * 10**9, is_mig=False, others_bytes=0)
SEEING = Torch("2.1", "13.0", is_available=True)
PLAIN = Facts(
    host="a",
    folder="/home/me",
    interfaces=(LOOPBACK, ETHERNET),
    source_address="10.0.0.1",
    cores=frozenset(range(4)),
    cpu_quota=0.0,
    memory_bytes=16 * 10**9,
    shm=Space("/dev/shm", 8 * 10**9, 8 * 10**9, None),
    scratch=Space("/tmp", 10**11, 10**10, None),
    output=DISK,
    limits=LIMITS,
    versions=VERSIONS,
    driver="",
    gpus=(),
    gpu_problem="NVML Shared Library Not Found",
    visible=None,
    is_offline=True,
)
ON_A, ON_B = "tcp://10.0.0.1:1", "tcp://10.0.0.2:1"
SCHEDULER = "tcp://10.0.0.1:8786"


def node(host="a", **changes):
    return replace(PLAIN, host=host, **changes)


def with_limit(name, *limit):
    return node(limits=LIMITS | {name: limit})


def said(level, findings):
    """The texts of one level."""
    return [each.text for each in findings if each.level == level]


def only_well(findings):
    return {each.level for each in findings} == {"ok"}


# interfaces


def test_bridges_loopback_and_interfaces_that_are_down_are_never_advised():
    down = Interface("ib1", ("10.2.0.1",), is_up=False, megabits=400_000)
    local = Interface("eth1", ("fe80::1%eth1",), is_up=True, megabits=400_000)
    facts = node(interfaces=(LOOPBACK, DOCKER, down, local, ETHERNET))
    assert network.candidates(facts) == [ETHERNET]


def test_without_a_cluster_the_fastest_interface_is_named_and_why():
    found = list(network.interfaces("", None, node(interfaces=(LOOPBACK, ETHERNET, INFINIBAND)), {}))
    assert found[-1].text == (
        "a scheduler here is reached by other nodes with `--interface ib0`, the fastest of 2 (100 Gbit/s)"
    )


def test_a_node_that_no_other_can_reach_is_worth_a_note():
    (text,) = said("note", network.interfaces("", None, node(interfaces=(LOOPBACK, DOCKER)), {}))
    assert text == "a has no interface that other nodes could reach; workers can only run here."


def test_a_scheduler_on_loopback_with_workers_elsewhere_must_be_started_otherwise():
    found = network.interfaces("tcp://127.0.0.1:8786", node(), node(), {ON_A: node(), ON_B: node("b")})
    (text,) = said("change", found)
    assert text == (
        "The scheduler listens at tcp://127.0.0.1:8786, which only a can reach, and there are workers on b. Start it "
        "with `--interface eth0`."
    )


def test_a_scheduler_on_loopback_with_all_workers_beside_it_is_well():
    found = list(network.interfaces("tcp://127.0.0.1:8786", node(), node(), {ON_A: node()}))
    assert found[-1] == Finding("ok", "scheduler and workers talk within a")


def test_a_faster_interface_than_the_one_in_use_is_named():
    worker = node("b", interfaces=(LOOPBACK, ETHERNET, INFINIBAND))
    found = network.interfaces(SCHEDULER, node(), node(), {ON_B: worker})
    (text,) = said("note", found)
    assert text == (
        "b: the scheduler is reached over eth0 (1 Gbit/s), and there is ib0 (100 Gbit/s). Start scheduler and workers "
        "with `--interface ib0`."
    )


def test_traffic_over_a_bridge_is_worth_a_note():
    worker = node("b", interfaces=(DOCKER, ETHERNET), source_address="172.17.0.1")
    (text,) = said("note", network.interfaces(SCHEDULER, node(), node(), {ON_B: worker}))
    assert "over docker0 (1000 Gbit/s), and there is eth0 (1 Gbit/s)" in text


def test_the_interface_in_use_is_told():
    found = list(network.interfaces(SCHEDULER, node(), node(), {ON_A: node(), ON_B: node("b")}))
    assert found[-1] == Finding("ok", "b: the scheduler is reached over eth0 (1 Gbit/s), as `--interface` may name it")


# connections and clocks

HOSTS = {ON_A: "a", ON_B: "b"}


def test_connections_in_all_directions_are_told_with_the_slowest():
    found = network.connections(
        SCHEDULER, HOSTS, {ON_A: 0.001, ON_B: 0.002}, {ON_A: {SCHEDULER: 0.003, ON_B: 0.004}, ON_B: {SCHEDULER: 0.001}}
    )
    assert said("ok", found) == [
        "from the scheduler to 2 of 2 workers, in 2.0 ms at most",
        "from 2 of 2 workers to the scheduler, in 3.0 ms at most",
        "from 1 of 1 worker to a neighbour, in 4.0 ms at most",
    ]


@pytest.mark.parametrize(
    ("from_scheduler", "from_b", "expected"),
    [
        ({ON_B: "no answer within 3 s"}, {SCHEDULER: 0.1}, f"no connection from the scheduler to {ON_B} on b: no"),
        ({ON_B: 0.1}, {SCHEDULER: "refused"}, f"no connection from {ON_B} on b to the scheduler: refused."),
        ({ON_B: 0.1}, {SCHEDULER: 0.1, ON_A: "refused"}, f"no connection from {ON_B} → {ON_A} to a neighbour: ref"),
    ],
)
def test_a_direction_that_is_closed_must_be_opened(from_scheduler, from_b, expected):
    (text,) = said("change", network.connections(SCHEDULER, HOSTS, from_scheduler, {ON_B: from_b}))
    assert text.startswith(expected)


@pytest.mark.parametrize(
    ("offset_s", "error_s", "level"),
    [(0.2, 0.01, "ok"), (2.0, 0.01, "note"), (-2.0, 0.01, "note"), (2.0, 1.5, "ok"), (7.0, 0.01, "change")],
)
def test_a_clock_is_judged_by_what_it_is_surely_wrong_by(offset_s, error_s, level):
    (finding,) = network.clocks({"b": (offset_s, error_s)})
    assert finding.level == level


def test_a_clock_that_is_wrong_says_which_way_and_what_it_breaks():
    (text,) = said("change", network.clocks({"a": (0.0, 0.01), "b": (-7.25, 0.01)}))
    assert text.startswith("The clock of b is 7.2 s behind the client's: the lock of a living run looks older")


def test_a_clock_that_cannot_be_read_is_not_left_out():
    assert said("change", network.clocks({"b": None})) == [
        "The clock of b cannot be read: its worker does not answer in time."
    ]


# files


def exchanged(mine=(), theirs=(), offset_s=0.0):
    """What is said of an exchange between the client and b, after these changes to what they saw."""
    both = {"from-client": 1.1, "from-b": 1.2}
    well = Exchange(0.0, 1.0, both, won=True, is_listed=True, is_removed=True)
    other = replace(well, won=False, looked_at=offset_s, written_at=1.0 + offset_s)
    other = replace(other, seen_at={name: at + offset_s for name, at in both.items()})
    sent = {"from-client": replace(well, **dict(mine)), "from-b": replace(other, **dict(theirs))}
    hosts, offsets = {"from-client": "a", "from-b": "b"}, {"from-client": 0.0, "from-b": offset_s}
    return list(files.exchanged("/shared", sent, hosts, offsets))


def test_files_that_all_see_are_told_with_the_slowest():
    assert [each.text for each in exchanged()] == [
        "2 processes on 2 nodes see each other's files in /shared, after 200 ms at most",
        "a name that all wanted at once was given to one, as lock.json must be; writing is synced to disk",
    ]


def test_the_time_until_a_file_is_seen_does_not_depend_on_clocks():
    assert exchanged(offset_s=100.0) == exchanged()


def test_an_output_that_is_not_shared_must_be_another():
    (text,) = said("change", exchanged(mine={"seen_at": {"from-client": 1.0}}))
    assert text.startswith("a does not see what b wrote to /shared seconds before. Choose an output on a file system")


def test_names_that_show_late_are_worth_a_note():
    (text,) = said("note", exchanged(theirs={"seen_at": {"from-client": 5.0, "from-b": 1.0}}))
    assert "only after 4.0 s (b)" in text
    assert "lookupcache=positive" in text


@pytest.mark.parametrize(
    ("theirs", "expected"),
    [
        ({"wrong": ("from-client",)}, "b read something else than was written to /shared"),
        ({"is_listed": False}, "A new file is not in the list of its folder /shared on b"),
        ({"is_removed": False}, "A file in /shared is still there after b removed it"),
        ({"won": True}, "2 processes got the name in /shared that one alone can have"),
        ({"problem": "the disk is full.", "written_at": None}, "b: the disk is full."),
    ],
)
def test_what_a_run_relies_on_and_does_not_hold_must_change(theirs, expected):
    (text,) = said("change", exchanged(theirs=theirs))
    assert text.startswith(expected)


def test_a_process_that_tries_alone_speaks_of_one():
    alone = Exchange(0.0, 1.0, {"from-client": 1.1}, won=True, is_listed=True, is_removed=True)
    found = list(files.exchanged("/shared", {"from-client": alone}, {"from-client": "a"}, {"from-client": 0.0}))
    assert found[0] == Finding("ok", "one process on a sees its file in /shared, after 100 ms at most")


def test_where_there_are_no_links_nothing_is_said_of_them():
    assert len(exchanged(mine={"won": None}, theirs={"won": None})) == 1


def test_a_file_that_was_always_whole_is_told_with_how_often():
    (finding,) = files.reread("/shared", {"b": Rereading(1000, 50)}, 60)
    assert finding == Finding("ok", "a file that was replaced 60 times was whole each of 1,000 times that it was read")


@pytest.mark.parametrize(
    "broken", [Rereading(1000, 50, num_missing=3), Rereading(1000, 50, num_torn=2)], ids=["missing", "torn"]
)
def test_a_rename_that_is_not_atomic_must_change(broken):
    (text,) = said("change", files.reread("/shared", {"a": Rereading(1000), "b": broken}, 60))
    assert text.startswith("Renaming over a file in /shared is not atomic: b found it missing")


def test_stale_handles_are_worth_a_note():
    found = list(files.reread("/shared", {"b": Rereading(10, 5, num_stale=1)}, 60))
    assert [each.level for each in found] == ["note", "ok"]


@pytest.mark.parametrize("answer", ["no answer within 4 s", Rereading(problem=errno.errorcode[errno.EIO])])
def test_a_file_that_cannot_be_read_again_must_change(answer):
    (text,) = said("change", files.reread("/shared", {"b": answer}, 60))
    assert text.startswith("b cannot read what is replaced in /shared: ")


def test_too_few_free_inodes_on_any_node_must_change():
    few = node("b", output=replace(DISK, free_inodes=10))
    assert only_well(files.room(node(), {ON_A: node()}, 10**9, 1000))
    (text,) = said("change", files.room(node(), {ON_B: few}, 10**9, 1000))
    assert text.startswith("/shared has room for fewer than the 1,000 files of a run on b.")


def test_a_file_system_that_counts_no_inodes_has_room():
    assert only_well(files.room(node(output=replace(DISK, free_inodes=None)), {}, 10**9, 1000))


def test_relative_paths_must_go_when_workers_start_elsewhere():
    elsewhere = {ON_B: node("b", folder="/var/lib/dask")}
    assert list(files.folders(node(), {ON_A: node()}, ["runs/x"])) == []
    assert list(files.folders(node(), elsewhere, [])) == []
    (text,) = said("change", files.folders(node(), elsewhere, ["runs/x"]))
    assert text == ("runs/x: relative to /home/me here, and to another folder for workers on b. Write absolute paths.")


def test_only_plain_local_paths_are_relative():
    paths = ["runs/x", "/data", "~/x", "embedded:documents", "package:x", "memory://x", "nowhere://x"]
    assert files.relative_paths(paths) == ["runs/x"]


def test_input_that_a_node_cannot_read_is_told_once_for_all_such_nodes():
    problem = {"/in/a.jsonl": "/in/a.jsonl: cannot be opened: No such file or directory."}
    found = list(files.inputs(["/in/a.jsonl"], {"a": {}, "b": problem, "c": problem}))
    assert said("change", found) == [f"b, c: {problem['/in/a.jsonl']} Every node must see the input at the same path."]
    assert said("ok", found) == ["/in/a.jsonl can be read on a"]


def test_a_node_that_does_not_answer_about_the_input_is_told():
    assert said("change", files.inputs(["/in/a.jsonl"], {"b": "no answer"})) == [
        "the input cannot be read on b: no answer"
    ]


# resources

JOB = {
    "SLURM_JOB_ID": "7",
    "SLURM_JOB_NUM_NODES": "2",
    "SLURM_JOB_NODELIST": "n[1-2]",
    "SLURM_CPUS_ON_NODE": "8",
    "SLURM_MEM_PER_NODE": "16384",
    "SLURM_JOB_END_TIME": "100000",
}


def test_a_job_says_what_it_has():
    (finding,) = resources.job(JOB, 8, 0, now=0.0)
    assert finding.level == "ok"
    assert finding.text.startswith("job 7, nodes 2: n[1-2], CPUs here 8, GPUs none, memory here 17.2 GB, ends ")


def test_a_config_that_asks_for_more_than_its_job_has_must_change():
    more_cores, more_memory = said("change", resources.job(JOB, 9, 10**12, now=0.0))
    assert more_cores.endswith("Ask for `--cpus-per-task=9`, or lower cluster.workers.")
    assert more_memory.startswith("The config's workers may take 1000.0 GB, and the job has 17.2 here.")


def test_memory_by_cpu_is_that_of_all_cpus():
    by_cpu = {key: value for key, value in JOB.items() if key != "SLURM_MEM_PER_NODE"} | {"SLURM_MEM_PER_CPU": "2048"}
    assert list(resources.job(by_cpu, 0, 0, now=0.0)) == list(resources.job(JOB, 0, 0, now=0.0))


def test_a_job_that_ends_soon_is_worth_a_note():
    (text,) = said("note", resources.job(JOB, 0, 0, now=100_000 - 120.0))
    assert text == "the job ends in 2 minutes; what is finished by then is kept."


def test_a_job_that_tells_little_is_no_problem():
    assert list(resources.job({"SLURM_JOB_ID": "7"}, 9, 9, now=0.0)) == [Finding("ok", "job 7, nodes ?: ?, GPUs none")]


def test_workers_that_may_take_more_memory_than_the_node_grants_must_change():
    workers = {ON_A: node(), "tcp://10.0.0.1:2": node()}
    limits = dict.fromkeys(workers, 12 * 10**9)
    (text,) = said("change", resources.memory(workers, limits, ours=True))
    assert text == (
        "a: 2 workers may take 24.0 GB, and the node grants 16.0. Set cluster.memory_bytes to 8,000,000,000, or start "
        "fewer workers."
    )
    assert "`--memory-limit`" in said("change", resources.memory(workers, limits, ours=False))[0]
    assert only_well(resources.memory(workers, dict.fromkeys(workers, 8 * 10**9), ours=True))


def test_workers_without_a_limit_of_memory_are_worth_a_note():
    (finding,) = resources.memory({ON_A: node()}, {ON_A: 0}, ours=True)
    assert finding.level == "note"


def test_more_threads_than_cores_are_worth_a_note():
    workers = {ON_A: node(), "tcp://10.0.0.1:2": node()}
    assert only_well(resources.cores(workers, 2, ours=True))
    (text,) = said("note", resources.cores(workers, 4, ours=True))
    assert text == (
        "a: 2 workers of 4 threads on 4 cores: they take turns, and none is faster for it; cluster.workers=1 would do "
        "as much."
    )


def test_workers_with_cores_of_their_own_have_all_of_them():
    workers = {ON_A: node(cores=frozenset({0, 1})), "tcp://10.0.0.1:2": node(cores=frozenset({2, 3}))}
    assert only_well(resources.cores(workers, 2, ours=True))


def test_a_quota_counts_as_cores():
    (text,) = said("note", resources.cores({ON_A: node(cpu_quota=1.5)}, 2, ours=False))
    assert text.startswith("a: 1 worker of 2 threads on 1.5 cores: they take turns, and none is faster for it; fewer")


def test_too_few_open_files_for_a_scheduler_say_how_many_and_how():
    workers = {f"tcp://10.0.0.{number}:1": node(f"n{number}") for number in range(200)}
    (text,) = said("change", resources.limits(node(), with_limit("open files", 1024, 4096), workers))
    assert text == (
        "a: 1,024 open files, and the scheduler of 200 workers needs about 2,200. Run `ulimit -n 2200` before starting "
        "it."
    )


def test_a_scheduler_needs_files_for_the_workers_that_are_still_to_come():
    few = with_limit("open files", 1024, 4096)
    (text,) = said("change", resources.limits(few, None, {}, num_asked=200))
    assert text.startswith("a: 1,024 open files, and the scheduler of 200 workers needs about 2,200.")


def test_a_hard_limit_that_is_too_low_must_be_raised_by_somebody_else():
    (text,) = said("change", resources.limits(node(), None, {ON_A: with_limit("open files", 256, 256)}))
    assert text.endswith(
        "The hard limit is 256: have it raised (limits.conf, LimitNOFILE, or the container's --ulimit)."
    )


@pytest.mark.parametrize(
    ("name", "limit", "level", "expected"),
    [
        ("processes", 50, "note", "a: 50 processes and threads are allowed"),
        ("file size", 1000, "change", "a: files may not grow beyond a limit"),
        ("core size", -1, "note", "a: a worker that crashes writes its memory into a core file"),
    ],
)
def test_other_limits_are_judged(name, limit, level, expected):
    (text,) = said(level, resources.limits(node(), None, {ON_A: with_limit(name, limit, -1)}))
    assert text.startswith(expected)


def test_little_locked_memory_matters_where_there_are_gpus():
    assert only_well(resources.limits(node(), None, {ON_A: node()}))
    (text,) = said("note", resources.limits(node(), None, {ON_A: node(gpus=(GPU,))}))
    assert text.startswith("locked memory is limited to 8,192 bytes")


@pytest.mark.parametrize("shm", [None, Space("/dev/shm", 1 << 26, 1 << 26, None)])
def test_a_small_dev_shm_is_worth_a_note(shm):
    (text,) = said("note", resources.places({ON_A: node(shm=shm)}, 0, is_remote=False))
    assert "`docker run --shm-size=8g`" in text


def test_uploads_need_room_for_a_shard_of_each_worker():
    workers = {ON_A: node(), "tcp://10.0.0.1:2": node()}
    assert only_well(resources.places(workers, 6 * 10**9, is_remote=False))
    (text,) = said("change", resources.places(workers, 6 * 10**9, is_remote=True))
    assert text == (
        "a: /tmp has 10.0 GB free, and uploads of 2 workers, which pass through it, may need 12.0. Set TMPDIR to a "
        "larger place."
    )


# software


def test_equal_versions_are_one_line_and_what_is_nowhere_another():
    assert said("ok", software.versions(node(), node(), {ON_B: node("b")})) == [
        "the same everywhere: python 3.11.7, curation 0.1.0 (abcd), dask 1, distributed 1, torch 2.1+cpu",
        "nowhere: cudf",
    ]


@pytest.mark.parametrize(
    ("name", "version", "level"),
    [
        ("python", "3.12.1", "change"),
        ("python", "3.11.9", "note"),
        ("curation", "0.1.0 (ffff)", "change"),
        ("distributed", "2", "change"),
        ("torch", "2.2+cpu", "change"),
        ("torch", "2.1+cu130", "note"),
        ("torch", "", "change"),
        ("cudf", "26.1", "note"),
    ],
)
def test_a_version_that_differs_names_who_differs(name, version, level):
    other = node("b", versions=VERSIONS | {name: version})
    (text,) = said(level, software.versions(node(), None, {ON_A: node(), ON_B: other}))
    assert text.startswith(f"{name} is {VERSIONS[name] or 'missing'} here and {version or 'missing'} on {ON_B} (b)")


def test_a_scheduler_needs_the_same_dask_and_no_torch():
    scheduler = node("s", versions=VERSIONS | {"dask": "2", "torch": ""})
    (text,) = said("change", software.versions(node(), scheduler, {ON_A: node()}))
    assert text.startswith("dask is 1 here and 2 on the scheduler (s).")


def gpus(workers, device="cuda", **torches):
    return list(software.gpus(workers, {"a": SEEING} | torches, device))


WITH_GPU = node(gpus=(GPU, replace(GPU, index=1, uuid="GPU-bbbb")), driver="590.1", visible="0")


def test_without_a_gpu_one_line_is_enough():
    assert gpus({ON_A: node()}, "cpu", a=Torch("2.1")) == [Finding("ok", "no GPU")]


def test_a_worker_for_each_gpu_is_well():
    workers = {ON_A: WITH_GPU, "tcp://10.0.0.1:2": replace(WITH_GPU, visible="1,0")}
    assert [each.text for each in gpus(workers)] == [
        "a: 2 of H100, 80 GB, driver 590.1",
        "each of 2 workers has a GPU of its own",
    ]


@pytest.mark.parametrize("visible", ["0", "GPU-aaaa", None])
def test_two_workers_on_one_gpu_must_change(visible):
    workers = {ON_A: WITH_GPU, "tcp://10.0.0.1:2": replace(WITH_GPU, visible=visible)}
    (text,) = said("change", gpus(workers))
    assert text.startswith("a: 2 workers use the GPU GPU-aaaa (tcp://10.0.0.1:1, tcp://10.0.0.1:2). Start one worker")


def test_two_workers_on_equal_numbers_of_two_nodes_share_nothing():
    elsewhere = replace(WITH_GPU, host="b", gpus=(replace(GPU, uuid="GPU-cccc"),))
    assert only_well(gpus({ON_A: WITH_GPU, ON_B: elsewhere}, b=SEEING))


def test_two_workers_on_one_part_of_a_gpu_must_change():
    workers = {ON_A: replace(WITH_GPU, visible="MIG-1"), "tcp://10.0.0.1:2": replace(WITH_GPU, visible="MIG-1")}
    assert said("change", gpus(workers))[0].startswith("a: 2 workers use the GPU MIG-1")


def test_a_gpu_that_is_wanted_and_not_there_must_change():
    (text,) = said("change", gpus({ON_A: node()}, a=Torch("2.1")))
    assert text == (
        "scoring.device is 'cuda', and a shows no GPU (NVML Shared Library Not Found). Run workers on nodes that have "
        "one, or write scoring.device=cpu."
    )


def test_a_gpu_that_torch_alone_sees_is_worth_a_note():
    (finding,) = gpus({ON_A: node()})
    assert finding == Finding(
        "note", "a: torch sees a GPU, and nothing else is known of it: `pip install nvidia-ml-py`."
    )


@pytest.mark.parametrize(("device", "level"), [("cuda", "change"), ("cpu", "note")])
def test_a_torch_that_sees_no_gpu_says_why(device, level):
    (text,) = said(level, gpus({ON_A: WITH_GPU}, device, a=Torch("2.1", "13.0", reason="The driver is too old")))
    assert text.startswith("a: torch 2.1 sees no GPU though driver 590.1 shows one: The driver is too old.")


@pytest.mark.parametrize("answer", [Torch(reason="No module named 'torch'"), "no answer within 9 s"])
def test_a_torch_that_cannot_be_asked_must_change(answer):
    (text,) = said("change", gpus({ON_A: node()}, "cpu", a=answer))
    assert text.startswith(
        "a: torch cannot be asked: No module named" if isinstance(answer, Torch) else "a: torch cannot"
    )


def test_gpus_that_others_use_drivers_that_differ_and_builds_that_differ_are_told():
    other = replace(WITH_GPU, host="b", driver="580.2", gpus=(replace(GPU, uuid="GPU-c", others_bytes=30 * 10**9),))
    found = gpus({ON_A: WITH_GPU, ON_B: other}, b=Torch("2.1", "12.8", is_available=True))
    assert said("note", found) == [
        "b: other processes hold 30.0 of 80.0 GB of GPU 0.",
        "drivers differ: 590.1 on a; 580.2 on b.",
    ]
    assert said("change", found) == [
        "torch is built for different CUDA versions: 13.0 on a; 12.8 on b. Start all workers from one environment."
    ]


HERE = {"edu": ("a" * 64, "")}


def test_a_model_that_all_find_is_told_with_its_fingerprint():
    assert list(software.models(HERE, {"a": HERE, "b": HERE})) == [Finding("ok", "edu: aaaaaaaa on 2 nodes")]


def test_another_model_on_a_node_must_change():
    (text,) = said("change", software.models(HERE, {"a": HERE, "b": {"edu": ("b" * 64, "")}}))
    assert text == "edu: b finds another model (bbbbbbbb) than the client (aaaaaaaa). Put the same files on every node."


def test_a_model_that_a_node_lacks_must_change():
    (text,) = said("change", software.models(HERE, {"a": HERE, "b": {"edu": ("", "there is no /models/edu.")}}))
    assert text == "edu, on b: there is no /models/edu."


def test_a_model_that_nobody_has_is_told_once():
    nowhere = {"edu": ("", "there is no /models/edu.")}
    assert list(software.models(nowhere, {"a": nowhere, "b": nowhere})) == [
        Finding("change", "edu: there is no /models/edu.")
    ]


def test_a_node_that_does_not_answer_about_models_is_told():
    assert said("change", software.models(HERE, {"b": "no answer"})) == ["models cannot be checked on b: no answer"]


def test_workers_that_may_ask_a_hub_are_worth_a_note():
    assert only_well(software.offline({ON_A: node()}))
    (text,) = said("note", software.offline({ON_A: node(), ON_B: node("b", is_offline=False)}))
    assert text.startswith("HF_HUB_OFFLINE is not set for workers on b;")


def test_one_thing_is_not_several():
    assert [counted(number, "worker") for number in (0, 1, 2000)] == ["0 workers", "1 worker", "2,000 workers"]


def test_many_names_are_counted():
    assert named(["d", "a", "c", "b", "a"]) == "a, b, c and 1 more"
