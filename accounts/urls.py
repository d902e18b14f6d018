"""Pages of an organisation's people and keys, mounted under o/<org>/."""

from django.urls import path

from accounts import views

INVITATION = "invitations/<uuid:invitation_id>"

urlpatterns = [
    path("account/", views.account, name="account"),
    path("tokens/", views.tokens, name="tokens"),
    path("tokens/<uuid:token_id>/revoke/", views.token_revoke, name="token_revoke"),
    path("members/", views.members, name="members"),
    path("members/invite/", views.invite, name="invite"),
    path("members/<int:membership_id>/role/", views.member_role, name="member_role"),
    path("members/<int:membership_id>/remove/", views.member_remove, name="member_remove"),
    path(f"{INVITATION}/withdraw/", views.invitation_withdraw, name="invitation_withdraw"),
    path("join/<str:secret>/", views.invitation_accept, name="invitation_accept"),
]
