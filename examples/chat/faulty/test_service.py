"""What the chat service promises."""

from chat.service import ChatService, user_card


def test_get_or_create_user_creates_a_user(service: ChatService, username: str) -> None:
    assert service.get_or_create_user(username, email="ada@example.org")


def test_get_or_create_user_keeps_the_user(
    service: ChatService, user_id: int, username: str
) -> None:
    service.get_or_create_user(username)
    user = service.get_user_with_sessions(user_id)
    assert user is not None
    assert user.last_seen is not None


def test_find_user(service: ChatService, user_id: int, username: str) -> None:
    assert service.find_user(username) == {"id": user_id, "email": "old@example.org"}


def test_update_user(service: ChatService, user_id: int) -> None:
    service.update_user({"id": user_id, "email": "new@example.org"})
    user = service.get_user_with_sessions(user_id)
    assert user is not None
    assert user.email == "new@example.org"


def test_user_card(service: ChatService, user_id: int, session_id: int, username: str) -> None:
    user = service.get_user_with_sessions(user_id)
    assert user is not None
    assert user_card(user).startswith(username)


def test_create_chat_session(service: ChatService, user_id: int) -> None:
    assert service.create_chat_session(user_id, "Second talk")


def test_get_active_session(service: ChatService, user_id: int, session_id: int) -> None:
    chat_session = service.get_active_session(user_id)
    assert chat_session is not None
    assert chat_session.title == "First talk"


def test_get_active_session_of_nobody(service: ChatService) -> None:
    assert service.get_active_session(-1) is None


def test_get_user_sessions(service: ChatService, user_id: int, session_id: int) -> None:
    assert [found.title for found in service.get_user_sessions(user_id)] == ["First talk"]


def test_add_message(service: ChatService, user_id: int, session_id: int) -> None:
    assert service.add_message(session_id, user_id, "user", "Hello", {"lang": "en"})


def test_get_session_messages(
    service: ChatService, session_id: int, message_ids: list[int]
) -> None:
    assert [found["id"] for found in service.get_session_messages(session_id)] == message_ids


def test_add_tool_usage(service: ChatService, message_ids: list[int]) -> None:
    assert service.add_tool_usage(message_ids[0], "clock", {"zone": "UTC"}) > 0


def test_get_session_history(service: ChatService, session_id: int, message_ids: list[int]) -> None:
    assert service.get_session_history(session_id) == [
        {"content": "What time is it?", "tools": []},
        {"content": "And in Omsk?", "tools": []},
    ]


def test_count_messages(service: ChatService, session_id: int, message_ids: list[int]) -> None:
    assert service.count_messages(session_id) == len(message_ids)


def test_count_sessions(service: ChatService, user_id: int, session_id: int) -> None:
    assert service.count_sessions(user_id) == 1
