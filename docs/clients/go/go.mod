module example.com/sharewarden-client

go 1.19
