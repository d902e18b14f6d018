from django.urls import path

from accounts.api import auth_views as views

urlpatterns = [
    path("login", views.LoginView.as_view(), name="auth_login"),
    path("logout", views.LogoutView.as_view(), name="auth_logout"),
    path("me", views.MeView.as_view(), name="auth_me"),
]
