from libs.events.examples import EXAMPLES
from libs.events.model import EVENT_TYPES
from libs.events.topics import EVENTS, KEPT_MS, TOPICS, topic


def test_every_declared_event_is_on_the_topic_that_it_names() -> None:
    assert dict(EVENTS) == EVENT_TYPES
    for declared in TOPICS:
        assert {model.topic for model in declared.events} <= {declared.name}


def test_every_event_has_an_example() -> None:
    assert EXAMPLES.keys() == EVENTS.keys()


def test_state_is_compacted_and_the_rest_is_kept_for_a_week() -> None:
    for declared in TOPICS:
        config = declared.config()
        if declared.kind == "state":
            assert config["cleanup.policy"] == "compact"
            assert config["delete.retention.ms"] == str(KEPT_MS)
            assert config["retention.ms"] == "-1"
        else:
            assert config["cleanup.policy"] == "delete"
            assert int(config["retention.ms"]) >= KEPT_MS


def test_a_dead_letter_has_room_for_the_largest_record_and_its_reason() -> None:
    largest = max(declared.max_message_bytes for declared in TOPICS if declared.events)
    for service in ("ingest", "asset_sync", "batcher", "webhook_receiver"):
        assert topic(f"{service}.dead_letters").max_message_bytes > largest + 16_384


def test_every_reader_and_writer_of_ours_has_a_dead_letter_topic() -> None:
    people = {"internal systems", "operators"}
    for declared in TOPICS:
        for service in {*declared.written_by, *declared.read_by} - people:
            assert topic(f"{service}.dead_letters").written_by == (service,)
