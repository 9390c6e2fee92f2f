import pytest

from node.training.scrub import Identity, scrubber

scrub = scrubber(
    Identity(homes=("/srv/people/ada", "/var/state"), users=("ada_l",), hosts=("enigma7", "enigma7.lab"))
)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("/srv/people/ada/train.py:3", "~/train.py:3"),
        ("/srv/people/adam/train.py", "/srv/people/adam/train.py"),
        ("/home/somebody/x.py and /Users/Ann/y", "~/x.py and ~/y"),
        ("C:\\Users\\Ann\\y", "~\\y"),
        ("user ada_l on ENIGMA7", "user <user> on <host>"),
        ("enigma7.lab said no", "<host> said no"),
        ("mail ann@example.org from 10.1.2.3", "mail <email> from <address>"),
        ("loss 1.234 at step 100", "loss 1.234 at step 100"),
        ("version 2.13.0", "version 2.13.0"),
    ],
)
def test_names_and_places_are_taken_out(text, clean):
    assert scrub(text) == clean


@pytest.mark.parametrize("name", ["root", "ab", "user", "train"])
def test_names_that_say_nothing_are_left(name):
    same = scrubber(Identity(homes=(), users=(name,), hosts=()))

    assert same(f"{name} of the tree") == f"{name} of the tree"


def test_this_machine_is_detected(tmp_path):
    text = f"in {tmp_path}/runs/1"

    assert scrubber(Identity.detect(tmp_path))(text) == "in ~/runs/1"
