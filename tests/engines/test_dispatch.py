"""Who does which job next: nothing is lost, nothing is done twice, whatever workers do."""

from itertools import groupby

from hypothesis import given
from hypothesis import strategies as st

from synthagent.engines.dispatch import MOST_LOST, Dispatch, Job


def jobs(*sizes: int) -> list[Job]:
    """Groups of these sizes, one after another."""
    groups = [chr(ord("a") + number) for number, size in enumerate(sizes) for _ in range(size)]
    return [Job(number, group, group.encode()) for number, group in enumerate(groups)]


def test_a_worker_keeps_to_the_group_it_has_begun():
    dispatch = Dispatch(jobs(2, 2))
    dealt = [dispatch.next("one").group, dispatch.next("two").group, dispatch.next("one").group]
    assert dealt == ["a", "b", "a"]


def test_when_there_is_nothing_new_work_is_taken_from_whoever_has_most_of_it():
    dispatch = Dispatch(jobs(3, 5))
    assert [dispatch.next(worker).group for worker in ("one", "two")] == ["a", "b"]
    assert [dispatch.next("one").group for _ in range(3)] == ["a", "a", "b"]


def test_no_more_than_one_group_is_read_before_a_worker_wants_it():
    read: list[int] = []

    def stream():
        for job in jobs(*[2] * 20):
            read.append(job.number)
            yield job

    dispatch = Dispatch(stream())
    dispatch.next("one")
    assert len(read) == 3  # the group, and the first of the next, which tells where it ends


def test_a_group_without_end_is_read_a_part_at_a_time():
    dispatch = Dispatch(Job(number, "a", b"") for number in range(10**9))
    assert dispatch.next("one").number == 0


def test_a_job_that_kills_its_workers_is_given_up():
    dispatch = Dispatch(jobs(1))
    for loss in range(MOST_LOST):
        job = dispatch.next(f"worker {loss}")
        assert job is not None
        assert not dispatch.over
        assert dispatch.lost(job) is (loss == MOST_LOST - 1)
    assert dispatch.next("the last") is None
    assert dispatch.over


def test_a_job_that_was_finished_after_all_is_not_held_against_the_next_one():
    dispatch = Dispatch(jobs(1, 1))
    first = dispatch.next("one")
    assert not dispatch.lost(first)
    again = dispatch.next("two")
    assert again == first
    dispatch.finished(again)
    second = dispatch.next("two")
    assert not dispatch.lost(second)


@given(
    st.lists(st.integers(1, 6), max_size=6),
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from("nfld")), max_size=120),
)
def test_whatever_workers_do_every_job_is_finished_once_or_given_up(sizes: list[int], deeds: list[tuple[int, str]]):
    """n: asks for a job; f: finishes its oldest; l: loses it; d: dies with all it has."""
    all_ = jobs(*sizes)
    dispatch = Dispatch(all_)
    held: dict[str, list[Job]] = {f"{number}": [] for number in range(4)}
    ended: list[int] = []

    def act(worker: str, deed: str) -> None:
        own = held[worker]
        if deed == "n":
            job = dispatch.next(worker)
            own += [job] if job else []
        elif deed == "f" and own:
            job = own.pop(0)
            dispatch.finished(job)
            ended.append(job.number)
        elif deed == "l" and own:
            job = own.pop(0)
            ended.extend([job.number] if dispatch.lost(job) else [])
        elif deed == "d":
            while own:
                act(worker, "l")
            dispatch.left(worker)

    for number, deed in deeds:
        act(f"{number}", deed)
        under_way = [job.number for own in held.values() for job in own]
        assert len(set(under_way)) == len(under_way)
    for worker, own in held.items():
        while own:
            act(worker, "f")
    while (job := dispatch.next("0")) is not None:
        dispatch.finished(job)
        ended.append(job.number)
    assert dispatch.over
    assert sorted(ended) == [job.number for job in all_]


def test_groups_are_dealt_in_the_order_of_the_stream():
    dispatch = Dispatch(jobs(2, 1, 3))
    dealt = []
    while (job := dispatch.next("one")) is not None:
        dealt.append(job.group)
        dispatch.finished(job)
    assert [group for group, _ in groupby(dealt)] == ["a", "b", "c"]
