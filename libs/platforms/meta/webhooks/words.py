"""Our word for every field that Meta's documents list and that has no reader of its own: object, field, word.

Sources, read 2026-11: "Webhooks reference" (its list of topics; application and permissions whole, page and Instagram
in part), the Python business SDK's `Page.SubscribedFields` and `IGUser.SubscribedFields`, WhatsApp's "Webhooks
overview" (in part) and "Webhook overrides". Marked "SDK": what its values hold was in no text that was read; "third
party" and "memory": nor was the field's name.
"""

from collections.abc import Mapping
from typing import Final

_MESSAGING: Final[Mapping[str, str]] = {
    "call_permission_reply": "call.permission",
    "call_settings_update": "call.settings",
    "calls": "call.updated",
    "message_deliveries": "message.delivered",
    "message_echoes": "message.sent",
    "message_edit": "message.edited",
    "message_edits": "message.edited",
    "message_reactions": "message.reaction",
    "message_reads": "message.read",
    "messages": "message.received",
    "messaging_account_linking": "message.account_linking",
    "messaging_handover": "message.handover",
    "messaging_handovers": "message.handover",
    "messaging_optins": "message.optin",
    "messaging_postbacks": "message.postback",
    "messaging_referral": "message.referral",
    "messaging_referrals": "message.referral",
    "messaging_seen": "message.read",
    "standby": "message.received",
    "comment_poll_response": "poll.answered",  # SDK
    "follow": "follower.created",  # SDK
    "story_poll_response": "poll.answered",  # SDK
}
"""Of pages and of Instagram accounts, where an item is not one that `messaging.py` knows by its kind."""

_PROFILE: Final = (
    "about",
    "affiliation",
    "attire",
    "awards",
    "bio",
    "birthday",
    "category",
    "company_overview",
    "culinary_team",
    "current_location",
    "description",
    "email",
    "founded",
    "general_info",
    "general_manager",
    "hometown",
    "hours",
    "location",
    "members",
    "mission",
    "name",
    "parking",
    "payment_options",
    "personal_info",
    "personal_interests",
    "phone",
    "picture",
    "price_range",
    "products",
    "public_transit",
    "website",
)
"""Fields of a page's profile: the change says that they changed."""

_PAGE: Final[Mapping[str, str]] = {
    **_MESSAGING,
    **dict.fromkeys(_PROFILE, "account.edited"),
    "agent_messages": "message.received",  # SDK
    "agent_questions": "message.received",  # SDK
    "business_integrity": "account.updated",
    "checkins": "checkin.created",
    "conversations": "conversation.updated",
    "feature_access_list": "account.updated",  # SDK
    "inbox_labels": "conversation.labelled",
    "invoice_access_bank_slip_events": "invoice.updated",
    "invoice_access_invoice_change": "invoice.updated",
    "invoice_access_invoice_draft_change": "invoice.updated",
    "invoice_access_onboarding_status_active": "invoice.updated",
    "leadgen_update": "lead.edited",
    "live_videos": "live_video.status",
    "local_delivery": "order.updated",  # SDK
    "marketing_message_clicks": "message.clicked",
    "marketing_message_deliveries": "message.delivered",
    "marketing_message_delivery_failed": "message.failed",
    "marketing_message_echoes": "message.sent",
    "marketing_message_reads": "message.read",
    "marketing_messages_subscriber_upload_status": "subscriber.uploaded",
    "mcom_invoice_change": "invoice.updated",
    "merchant_review": "account.updated",
    "message_context": "message.context",
    "message_mention": "mention.created",  # SDK
    "message_template_status_update": "template.status",
    "messaging_appointments": "appointment.updated",
    "messaging_checkout_updates": "order.updated",
    "messaging_customer_information": "contact.changed",
    "messaging_direct_sends": "message.sent",  # SDK
    "messaging_fblogin_account_linking": "message.account_linking",
    "messaging_feedback": "message.feedback",
    "messaging_game_plays": "message.game_play",
    "messaging_in_thread_lead_form_submit": "lead.created",
    "messaging_integrity": "account.updated",  # SDK
    "messaging_optouts": "message.optout",
    "messaging_payments": "payment.updated",
    "messaging_policy_enforcement": "account.updated",
    "messaging_pre_checkouts": "order.updated",
    "page_about_story": "account.edited",
    "page_change_proposal": "account.change_proposed",
    "page_upcoming_change": "account.change_proposed",
    "payment_request_update": "payment.updated",
    "product_review": "rating.created",
    "publisher_subscriptions": "subscription.updated",
    "registration": "account.updated",  # SDK
    "response_feedback": "message.feedback",
    "send_cart": "order.created",
    "story_share": "story.shared",  # SDK
    "user_action": "message.action",  # SDK
    "video_text_question_responses": "poll.answered",  # SDK
    "videos": "video.status",
}
_INSTAGRAM: Final[Mapping[str, str]] = {
    **_MESSAGING,
    "onboarding_welcome_message_series": "message.onboarding",  # SDK
    "share_to_story": "story.shared",  # SDK
}
_APPLICATION: Final[Mapping[str, str]] = {
    "ad_account": "account.updated",
    "ads_rules_engine": "ad.rule",
    "async_requests": "ad.request",
    "dev_alerts": "app.alert",
    "group_install": "app.installed",
    "oe_reseller_onboarding_request_created": "account.requested",
}
_WHATSAPP: Final[Mapping[str, str]] = {
    "account_alerts": "account.updated",
    "account_review_update": "account.updated",
    "account_settings_update": "account.updated",
    "account_update": "account.updated",
    "automatic_events": "conversion.detected",
    "business_capability_update": "account.updated",
    "business_status_update": "account.updated",  # memory
    "calls": "call.updated",
    "consumer_profile": "contact.changed",
    "flows": "flow.status",  # third party
    "group_lifecycle_update": "group.updated",
    "group_participant_update": "group.updated",
    "group_participants_update": "group.updated",
    "group_settings_update": "group.updated",
    "group_status_update": "group.updated",
    "history": "message.history",
    "message_echoes": "message.sent",
    "message_template_components_update": "template.edited",
    "message_template_quality_update": "template.status",
    "message_template_status_update": "template.status",
    "messages": "message.failed",  # without messages and statuses it has `errors`
    "messaging_handovers": "message.handover",
    "partner_solutions": "account.updated",  # memory
    "payment_configuration_update": "payment.updated",  # memory
    "phone_number_name_update": "account.updated",
    "phone_number_quality_update": "account.updated",
    "security": "account.updated",  # third party
    "smb_app_state_sync": "contact.changed",
    "smb_message_echoes": "message.sent",
    "standby": "message.received",  # memory
    "template_category_update": "template.status",
    "template_correct_category_detection": "template.status",  # memory
    "tracking_events": "conversion.detected",  # memory
    "user_id_update": "contact.changed",  # memory
    "user_preferences": "preference.changed",  # memory
}
WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "page": _PAGE,
    "instagram": _INSTAGRAM,
    "application": _APPLICATION,
    "whatsapp_business_account": _WHATSAPP,
}
WORDS_OF_OBJECTS: Final[Mapping[str, str]] = {
    "user": "user.edited",
    "catalog": "catalog.updated",
    "product_catalog": "catalog.updated",
    "managed_meta_account": "account.updated",
}
"""Whatever the field: a user's profile has dozens; those of catalogs are not listed. Which of the two words stands in a
catalog's deliveries is not documented."""


def word_of(watched: str, field: str) -> str:
    """Give our word, or `other` for a field that no document lists."""
    return WORDS.get(watched, {}).get(field) or WORDS_OF_OBJECTS.get(watched, "other")
