server {
  hostname = "localhost
}
listener "smtp" "in"
{
}
