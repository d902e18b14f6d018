from django.urls import path

from accounts.api import views

urlpatterns = [
    path("tokens", views.TokensView.as_view(), name="api_tokens"),
    path("tokens/<uuid:token_id>", views.TokenView.as_view(), name="api_token"),
    path("members", views.MembersView.as_view(), name="api_members"),
    path("members/<int:membership_id>", views.MemberView.as_view(), name="api_member"),
    path("invitations", views.InvitationsView.as_view(), name="api_invitations"),
    path("invitations/<uuid:invitation_id>", views.InvitationView.as_view(), name="api_invitation"),
]
