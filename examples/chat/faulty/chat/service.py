"""What the chat can do; every fault stands in a function of its own."""

from datetime import datetime, timezone
from typing import Any

from sqlalchemy import Connection, func, select
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import DetachedInstanceError

from . import db
from .models import ChatSession, Message, ToolUsage, User


class ChatService:
    """The only door to the tables of the chat."""

    def __init__(self) -> None:
        """Begin with no session and no connection."""
        self._session: Session | None = None
        self._connection: Connection | None = None

    # users

    def get_or_create_user(self, username: str, email: str | None = None) -> User:
        """Return the user of this name, now seen; a new one where there was none."""
        with db.get_db() as session:
            user = session.scalar(select(User).where(User.username == username))
            if user is None:
                user = User(username=username, email=email)
                session.add(user)
                session.commit()
                session.refresh(user)
            user.last_seen = datetime.now(timezone.utc)
            session.commit()
            session.expunge(user)
            return user  # fault: SG302

    def find_user(self, username: str) -> dict[str, Any] | None:
        """Return what is known of a user."""
        if self._session is None:
            self._session = db.SessionLocal()  # fault: SG101, SG501
        user = self._session.scalar(select(User).where(User.username == username))
        return None if user is None else {"id": user.id, "email": user.email}

    def update_user(self, user_data: dict[str, Any]) -> User:
        """Write these values over the user with the same id."""
        with db.get_db() as session:
            user = session.merge(User(**user_data))
            session.commit()
            session.expunge(user)
            return user  # fault: SG302

    def get_user_with_sessions(self, user_id: int) -> User | None:
        """Return a user together with all conversations."""
        with db.get_db() as session:
            user = session.get(User, user_id)
            if user is not None:
                session.expunge(user)
            return user

    # conversations

    def create_chat_session(self, user_id: int, title: str) -> ChatSession:
        """Begin a conversation."""
        with db.get_db() as session:
            chat_session = ChatSession(user_id=user_id, title=title)
            session.add(chat_session)
            session.commit()
            session.expunge(chat_session)
            return chat_session  # fault: SG302

    def get_active_session(self, user_id: int) -> ChatSession | None:
        """Return the newest conversation of a user that is not over."""
        query = (
            select(ChatSession)
            .where(ChatSession.user_id == user_id, ChatSession.is_active)
            .order_by(ChatSession.id.desc())
            .limit(1)
        )
        with db.get_db() as session:
            if session.get(User, user_id) is None:
                return None
        chat_session = session.scalar(query)  # fault: SG202
        if chat_session is not None:
            session.expunge(chat_session)
        return chat_session

    def get_user_sessions(self, user_id: int) -> list[ChatSession]:
        """Return all conversations of a user, the oldest first."""
        session = db.SessionLocal()  # fault: SG102, SG501
        query = select(ChatSession).where(ChatSession.user_id == user_id).order_by(ChatSession.id)
        return list(session.scalars(query))

    # messages

    def add_message(
        self,
        session_id: int,
        user_id: int,
        message_type: str,
        content: str,
        metadata: dict[str, Any] | None = None,
    ) -> Message:
        """Add a line to a conversation."""
        with db.get_db() as session:
            message = Message(
                session_id=session_id,
                user_id=user_id,
                message_type=message_type,
                content=content,
                message_metadata=metadata or {},
            )
            session.add(message)
            session.commit()
            return message  # fault: SG302

    def get_session_messages(self, session_id: int) -> list[dict[str, Any]]:
        """Return the lines of a conversation, the oldest first."""
        with db.get_read_db() as session:
            query = select(Message).where(Message.session_id == session_id).order_by(Message.id)
            return [_message_data(message) for message in session.scalars(query)]

    def add_tool_usage(self, message_id: int, tool_name: str, arguments: dict[str, Any]) -> int:
        """Note that a tool was called for a message, and return the note's id."""
        session = db.SessionLocal()  # fault: SG201, SG501
        usage = ToolUsage(message_id=message_id, tool_name=tool_name, arguments=arguments)
        session.add(usage)
        session.flush()
        usage_id = usage.id
        session.commit()
        return usage_id

    def get_session_history(self, session_id: int) -> list[dict[str, Any]]:
        """Return the lines of a conversation, each with the tools that it called."""
        with db.get_db() as session:
            query = select(Message).where(Message.session_id == session_id).order_by(Message.id)
            history = []
            for message in session.scalars(query):
                tools = [usage.tool_name for usage in message.tool_usages]  # fault: SG402
                history.append({"content": message.content, "tools": tools})
            return history

    # figures

    def count_messages(self, session_id: int) -> int:
        """Return how many lines a conversation has."""
        if self._connection is None:
            self._connection = db.get_engine().connect()  # fault: SG101
        query = select(func.count()).where(Message.session_id == session_id)
        return self._connection.scalar(query) or 0

    def count_sessions(self, user_id: int) -> int:
        """Return how many conversations a user has."""
        query = select(func.count()).where(ChatSession.user_id == user_id)
        return db.get_engine().connect().scalar(query) or 0  # fault: SG102


chat_service = ChatService()


def user_card(user: User) -> str:
    """Return the line that the sidebar shows for a user."""
    try:
        return f"{user.username} ({len(user.sessions)} chats)"  # fault: SG303
    except DetachedInstanceError:
        return user.username


def _message_data(message: Message) -> dict[str, Any]:
    """Return a line of a conversation as plain data."""
    return {
        "id": message.id,
        "session_id": message.session_id,
        "user_id": message.user_id,
        "message_type": message.message_type,
        "content": message.content,
        "message_metadata": message.message_metadata,
        "created_at": message.created_at,
    }
