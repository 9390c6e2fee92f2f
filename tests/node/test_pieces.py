import multiprocessing

from node.pieces import CountedPieces, SharedPieces

WORKERS, EACH, LIMIT = 4, 30, 50


def take_some(path, worker, granted):
    pieces = SharedPieces(path, LIMIT, worker=worker)
    for _ in range(EACH):
        if pieces.take():
            pieces.done()
            with granted.get_lock():
                granted.value += 1


def test_without_a_limit_there_is_always_one_more():
    pieces = CountedPieces()

    assert all(pieces.take() for _ in range(100))


def test_a_piece_that_is_put_back_may_be_taken_again():
    pieces = CountedPieces(1)

    taken = [pieces.take(), pieces.take()]
    pieces.put_back()

    assert taken == [True, False]
    assert pieces.take()


def test_workers_that_count_together_never_take_more_than_the_limit(tmp_path):
    path = tmp_path / "pieces.json"
    SharedPieces.begin(path)
    spawn = multiprocessing.get_context("spawn")
    granted = spawn.Value("i", 0)
    workers = [spawn.Process(target=take_some, args=(path, str(n), granted)) for n in range(WORKERS)]

    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)

    assert [worker.exitcode for worker in workers] == [0] * WORKERS
    assert granted.value == LIMIT


def test_what_a_dead_worker_had_in_hand_comes_back_with_its_successor(tmp_path):
    path = tmp_path / "pieces.json"
    SharedPieces.begin(path)
    dead = SharedPieces(path, 3, worker="a")
    for _ in range(3):
        dead.take()
    dead.done()

    again = SharedPieces(path, 3, worker="a")

    assert [again.take(), again.take(), again.take()] == [True, True, False]


def test_a_count_that_was_written_and_not_yet_cut_to_its_length_is_read(tmp_path):
    path = tmp_path / "pieces.json"
    path.write_text('{"": 1} "a": 1}')

    pieces = SharedPieces(path, 2, worker="a")

    assert [pieces.take(), pieces.take()] == [True, False]
